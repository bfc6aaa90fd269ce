"""A lease in the database: one holder at a time, and a token that shows whether a holder is the current one."""

from __future__ import annotations

import os
import secrets
import socket
import time
from typing import TYPE_CHECKING, Any

from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from psycopg import Connection

SECONDS = 10.0


class LeaseLostError(StumbleError):
    """Another process holds the lease: it continues the work."""


class Lease:
    """A lease that `held` acquires and renews; a cursor moves only with the current `token`."""

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.name = name
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.token = 0
        self._seconds = seconds
        self._renew_at = 0.0

    def held(self, connection: Connection[Any]) -> bool:
        """Acquire or renew the lease when it is due; return False while another process holds it."""
        now = time.monotonic()
        if self.token and now < self._renew_at:
            return True
        row = connection.execute(
            query("acquire_lease"), {"name": self.name, "holder": self.holder, "seconds": self._seconds}
        ).fetchone()
        self.token = row[0] if row else 0
        self._renew_at = now + self._seconds / 3
        return bool(self.token)

    def lose(self) -> None:
        """Forget the token: the next `held` tries to acquire the lease."""
        self.token = 0

    def leave(self, connection: Connection[Any]) -> None:
        """Release the lease, so that another process can acquire it immediately."""
        connection.execute(query("release_lease"), {"name": self.name, "holder": self.holder})
        self.token = 0
