"""What every response has: headers that restrict browsers, and a problem instead of an unexpected error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
from starlette.requests import Request

from stumble.api.middleware import HttpMiddleware
from stumble.api.problems import problem
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

_log = logging.getLogger(__name__)
#: Pages set a policy of their own. Text from a cloud in any other response is never executed or shown as a page.
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)
_DATA_HEADERS = (*_HEADERS, (b"cache-control", b"no-store"))
#: Errors that end a response after its start: store or Kafka became unavailable, or the response took too long.
_INTERRUPTIONS = (psycopg.Error, StumbleError, TimeoutError)
_UNEXPECTED = "The API failed to answer because of an error in stumble; its log has the details."


class SafeResponses(HttpMiddleware):
    """ASGI middleware that adds the headers, and answers 500 where the app fails."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        started = False

        async def complete(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = {name for name, _ in message["headers"]}
                wanted = _DATA_HEADERS if scope["path"].startswith("/v1/") else _HEADERS
                message["headers"] = [*message["headers"], *(pair for pair in wanted if pair[0] not in given)]
            await send(message)

        try:
            await self._app(scope, receive, complete)
        except Exception as error:  # noqa: BLE001  # only here: every other one has a handler
            if started and isinstance(error, _INTERRUPTIONS):
                _log.warning("%s %r was cut off: %s: %s", scope["method"], scope["path"], type(error).__name__, error)
            else:
                _log.exception("%s %r failed", scope["method"], scope["path"])
            if not started:
                await problem(Request(scope), 500, _UNEXPECTED)(scope, receive, complete)
            # Otherwise the server ends the connection: the client sees that the response is not complete.
