"""A server whose answer never ends: a byte now and then, so that timeouts per read do not apply, or a flood."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.serving import serving

#: First bytes of an answer: in the middle of the headers, and in the middle of the body.
IN_HEADERS = b"HTTP/1.1 200 OK\r\nX-Slow: "
IN_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@contextmanager
def endless_server(first: bytes, then: bytes = b"x", every_seconds: float = 0.1) -> Iterator[str]:
    """Run a server that sends `first`, and then `then` again and again; yield its URL."""
    ended = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client closes the connection
                self.request.recv(65_536)
                self.request.sendall(first)
                while not ended.wait(every_seconds):
                    self.request.sendall(then)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 256

    with serving(Server(("127.0.0.1", 0), Handler)) as url:
        try:
            yield f"{url}/"
        finally:
            ended.set()
