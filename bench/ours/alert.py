"""The time from `emit` of a failure to its receivers: a webhook and the address of an Alertmanager."""

from __future__ import annotations

import random
import sys
import threading
import time
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.ours.common import say
from stumble.emitter import Emitter

_GRACE = 15.0
#: Each request fails with its own text, so each is a new problem.
_WORDS = ("red", "green", "blue", "black", "white", "brown", "grey", "pink")


class Receivers:
    """Receives alerts; `taken` are seconds from `emit` to the time before the answer, by path."""

    def __init__(self, port: int) -> None:
        self._since: dict[str, float] = {}
        self.taken: dict[str, dict[str, float]] = {"/hook": {}, "/api/v2/alerts": {}}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                owner.arrived(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def expect(self, request_id: str) -> None:
        """Start the clock of a request that fails now."""
        self._since[request_id] = time.monotonic()

    def arrived(self, path: str, body: str) -> None:
        """Stop the clocks of all requests that a message names."""
        now = time.monotonic()
        for request_id, since in list(self._since.items()):
            if request_id in body:
                self.taken[path].setdefault(request_id, now - since)

    def complete(self, count: int) -> bool:
        """Whether every request has arrived at both receivers."""
        return all(len(found) == count for found in self.taken.values())


def main(outbox: str, port: int, count: int) -> None:
    """Emit `count` failed requests, two per second, and wait for their alerts."""
    receivers = Receivers(port)
    emitter = Emitter(outbox, service="nova-compute", host="bench")
    chance = random.Random(7)  # noqa: S311  # no secret
    for _ in range(count):
        instance, request_id = str(uuid.uuid4()), f"req-{uuid.uuid4()}"
        text = " ".join(chance.choices(_WORDS, k=8))
        with (
            suppress(RuntimeError),
            emitter.action(instance, "reboot", request_id=request_id) as action,
            action.step("compute_reboot_instance"),
        ):
            receivers.expect(request_id)
            raise RuntimeError(text)
        time.sleep(0.5)
    deadline = time.monotonic() + _GRACE
    while not receivers.complete(count) and time.monotonic() < deadline:
        time.sleep(0.05)
    hook, manager = receivers.taken["/hook"], receivers.taken["/api/v2/alerts"]
    say(count=count, webhook=list(hook.values()), alertmanager=list(manager.values()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
