"""A record of a Kafka topic as its readers see it, without an import of the Kafka client."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from stumble.wire.headers import Header

#: The kind of a record's time that the broker sets (org.apache.kafka.common.record.TimestampType).
LOG_APPEND_TIME: Final = 2
#: Asks a record for its headers, and raises what the client reports. A call in Python's own syntax does not always: the
#: interpreter replaces frequent calls of C functions by a faster way that does not examine whether they failed.
_ask_headers = methodcaller("headers")


class KafkaRecord(Protocol):
    """The methods of `confluent_kafka.Message` that readers use."""

    def topic(self) -> str | None: ...  # noqa: D102
    def partition(self) -> int | None: ...  # noqa: D102
    def offset(self) -> int | None: ...  # noqa: D102
    def key(self) -> bytes | None: ...  # noqa: D102
    def value(self) -> bytes | None: ...  # noqa: D102
    def headers(self) -> Any: ...  # noqa: D102
    def set_headers(self, value: Any, /) -> None: ...  # noqa: D102
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102


def headers_of(record: KafkaRecord) -> list[Header] | None:
    """Return the headers of a Kafka record, or None if the name of one is not UTF-8: the client cannot read those.

    Every reader of records must use this function: the client raises ``SystemError`` the first time, and its second
    answer has names that end the process when they are used.
    """
    try:
        return list(_ask_headers(record) or ())
    except (SystemError, ValueError):
        record.set_headers([])
        return None
