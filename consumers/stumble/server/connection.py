"""Connections of the HTTP server, with deadlines: uvicorn itself waits for ever for the rest of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds for the whole head of a request, for its whole body, and until a client reads on.
HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
STALLED_SECONDS = 30.0
#: Below the usual limit of 1,024 open files, which connections to the store and Kafka need, too.
MAX_CONNECTIONS = 800
#: Bytes of all responses that clients have not read; a response of one part waits in memory as a whole.
MAX_UNREAD_BYTES = 128 << 20
_SECONDS = {h11.IDLE: HEAD_SECONDS, h11.SEND_BODY: BODY_SECONDS}


def end_overdue(connections: Iterable[asyncio.Protocol], now: float) -> None:
    """End every connection that is overdue, and the slowest readers while too much is unread."""
    limited = [one for one in connections if isinstance(one, LimitedConnection)]
    for one in limited:
        one.end_if_overdue(now)
    unread = sum(one.unread_bytes for one in limited)
    for one in sorted(limited, key=lambda one: one.drained_at):
        if unread <= MAX_UNREAD_BYTES:
            break
        unread -= one.unread_bytes
        one.transport.abort()


class LimitedConnection(H11Protocol):
    """One connection; the server calls `end_overdue` every second.

    Above `MAX_CONNECTIONS` a new connection ends the one that has waited longest for a request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Start the deadline of the first head."""
        super().connection_made(transport)
        self._reading: Any = None
        self._reading_since = self._drained_at = self.loop.time()
        if len(self.connections) > MAX_CONNECTIONS:
            # An aborted connection is in the set until the next turn of the loop.
            own = (one for one in self.connections if isinstance(one, LimitedConnection))
            open_ones = [one for one in own if not one.transport.is_closing()]
            idle = [one for one in open_ones if one.awaits_head]
            if idle and len(open_ones) > MAX_CONNECTIONS:
                min(idle, key=lambda one: one.reading_since).transport.abort()

    @property
    def awaits_head(self) -> bool:
        """Return whether the client has not sent the whole head of its next request."""
        return self.conn.their_state is h11.IDLE

    @property
    def reading_since(self) -> float:
        """Return when the present head or body began, by the clock of the loop."""
        return self._reading_since

    @property
    def drained_at(self) -> float:
        """Return when the client had last read what was sent, by the clock of the loop."""
        return self._drained_at

    @property
    def unread_bytes(self) -> int:
        """Return how much of the response waits for the client, beside what its socket holds."""
        return self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """Note that the client has read most of what was sent."""
        super().resume_writing()
        self._drained_at = self.loop.time()

    def end_if_overdue(self, now: float) -> None:
        """End the connection if its client has used up the time for a head, a body or its reading."""
        reading = self.conn.their_state, self.cycle  # a new cycle is a new request
        if reading != self._reading:
            self._reading, self._reading_since = reading, now
        if not self.unread_bytes:
            self._drained_at = now
        seconds = _SECONDS.get(self.conn.their_state)
        if (seconds is not None and now - self._reading_since > seconds) or now - self._drained_at > STALLED_SECONDS:
            self.transport.abort()
