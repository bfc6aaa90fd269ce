"""What Kafka's client complains of: said once, and what follows from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from stumble.runtime.state_log import StateLog

#: Who loses its partitions so soon after the broker did not answer has lost them by that: two sessions and more.
_UNHEARD_SECONDS = 15.0
_AWAY = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE)  # noqa: SLF001


class ClientErrors:
    """Hears errors that concern the client as a whole."""

    def __init__(self, notices: StateLog, servers: str) -> None:
        self._fatal: str | None = None
        self._notices = notices
        self._servers = servers
        self._unheard_at = float("-inf")

    @property
    def unheard(self) -> bool:
        """Whether the broker did not answer a short while ago."""
        return time.monotonic() - self._unheard_at <= _UNHEARD_SECONDS

    def require_none(self) -> None:
        """Raise `StumbleError` once the client can't go on."""
        if self._fatal is not None:
            raise StumbleError(self._fatal)

    def hear(self, error: KafkaError) -> None:
        """Take in one error."""
        if error.fatal():
            self._fatal = f"Kafka's client can't go on: {error.str()}; restart the projector."
            return
        if error.code() in _AWAY:
            text = f"Kafka at {self._servers} does not answer: reading waits, nothing is lost."
            self._unheard_at = time.monotonic()
        else:
            text = f"Kafka says: {error.str()}; reading goes on as soon as it can."
        self._notices.say("kafka", text)

    def over(self) -> None:
        """Note that the broker answers."""
        self._notices.over("kafka", "Kafka answers again: reading goes on.")
