"""An HTTP server that stores each POST and answers as the test sets it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.serving import serving

Answer = tuple[int, dict[str, str]]


@dataclass
class Received:
    """Posts, in the order of their arrival."""

    url: str = ""
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[int], Answer] = lambda _number: (204, {})

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.posts]


@contextmanager
def receiver() -> Iterator[Received]:
    received = Received()
    arriving = threading.Lock()  # so that two simultaneous posts get different numbers

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with arriving:
                received.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                number = len(received.posts)
            status, headers = received.answer(number)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        received.url = f"{url}/hook"
        yield received
