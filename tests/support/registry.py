"""A schema registry with prepared answers, on a loopback port of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.serving import serving

#: What a registry answers, with status 404, for a subject that it does not have.
NOT_FOUND = {"error_code": 40401, "message": "Subject not found"}


@contextmanager
def registry_with(answers: Mapping[str, Any]) -> Iterator[str]:
    """Serve the answers by path, those of `*` for other paths, else `NOT_FOUND`; a text is an HTML page.

    The answers may be changed meanwhile. Yields the URL.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = answers.get(self.path, answers.get("*", NOT_FOUND))
            is_page = isinstance(answer, str)
            body = answer.encode() if is_page else json.dumps(answer).encode()
            self.send_response(404 if answer is NOT_FOUND else 200)
            self.send_header("Content-Type", "text/html" if is_page else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url
