"""Limits of what one client can take from the others: size of a body, and number of long responses at the same time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.requests import Request

from stumble.api.middleware import HttpMiddleware
from stumble.api.problems import Unavailable, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message, Receive, Scope, Send

#: Largest body of a request, bytes. The largest valid one, a subscription with all its filters, has some kilobytes.
MAX_BODY_BYTES = 1 << 20
#: How much of a larger body is read, and forgotten, before the response.
_MAX_DISCARDED_BYTES = 16 << 20
_TOO_LARGE = f"The body is larger than {MAX_BODY_BYTES:,} bytes; send less at once."


class ConcurrencyLimit:
    """At most so many at the same time; threads and the event loop can share it."""

    def __init__(self, most: int, responses: str) -> None:
        self._slots = threading.BoundedSemaphore(most)
        self._busy = f"The API serves {most} {responses} at the same time and is busy with them: try again later."

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Take one of the slots while the context is open; raises `Unavailable` if there is none."""
        if not self._slots.acquire(blocking=False):
            raise Unavailable(self._busy)
        try:
            yield
        finally:
            self._slots.release()


class ApiLimits:
    """The limits of one app. Each long response has its own: no kind can take what another needs."""

    def __init__(self) -> None:
        self.streams = ConcurrencyLimit(400, "streams")
        self.waiting = ConcurrencyLimit(200, "waiting requests")
        #: Each one has a session with the store and a Kafka consumer.
        self.exports = ConcurrencyLimit(2, "exports of dead letters")
        self.dead_letters = ConcurrencyLimit(4, "requests about dead letters")


async def _discard(receive: Receive) -> None:
    """Read the rest of a body: many clients read the response only when they have sent everything."""
    left = _MAX_DISCARDED_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body"):
            return


class BodyLimit(HttpMiddleware):
    """ASGI middleware that answers 413 to a request with a larger body, before that body is in memory."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length", b"0")) > MAX_BODY_BYTES:  # the server accepts only digits
            if b"expect" not in headers:  # such a client sends the body only after a 100
                await _discard(receive)
            await problem(Request(scope), 413, _TOO_LARGE)(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                await _discard(receive)
                raise HTTPException(413, _TOO_LARGE)  # FastAPI reports any other exception as a body that is not JSON
            return message

        await self._app(scope, limited, send)
