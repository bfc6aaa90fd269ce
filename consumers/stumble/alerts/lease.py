"""A lease in the database: one holder at a time, a token that tells a stale holder from the present one."""

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
    """Somebody else holds the lease by now: what was done since is theirs to do."""


class Lease:
    """Taken and renewed by `held`; `token` is what marks are made under."""

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.name = name
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.token = 0
        self._seconds = seconds
        self._renew_at = 0.0

    def held(self, connection: Connection[Any]) -> bool:
        """Take or renew the lease where it is time to; False while another holds it."""
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
        """Forget the token: the next `held` asks again."""
        self.token = 0

    def leave(self, connection: Connection[Any]) -> None:
        """Let the next one have it at once."""
        connection.execute(query("release_lease"), {"name": self.name, "holder": self.holder})
        self.token = 0
