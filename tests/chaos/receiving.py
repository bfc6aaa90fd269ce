"""A webhook receiver: ``python -m tests.chaos.receiving PORT FILE``; it writes a post to the file, then answers.

One post in ten is refused with 503 after it was written: the sender must repeat it with the same id. A post to DRIP is
answered with one byte per second that never becomes an answer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REFUSE_EVERY = 10
DRIP = "/drip"


def main(port: int, path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal count
            if self.path.startswith(DRIP):
                self._drip()
                return
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items() if name.lower()[:7] == "webhook"}
            count += 1
            status = 503 if count % REFUSE_EVERY == 0 else 204
            post = {"path": self.path, "headers": headers, "body": body.decode(), "status": status, "at": time.time()}
            os.write(log, json.dumps(post).encode() + b"\n")
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def _drip(self) -> None:
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
                while True:
                    self.wfile.write(b"x")
                    time.sleep(1)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
