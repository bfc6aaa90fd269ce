"""Bounds the times that records claim, by the time at which the broker appended the record.

A sender's clock can be wrong by any amount. The broker's append time of a record is the same at every reading, so what
is bounded by it is the same in the projector, in an audit and after a rebuild. Only on a topic that stores its
writers' times (``message.timestamp.type=CreateTime``) the time of reading bounds instead.
"""

from __future__ import annotations

import time
from typing import Final

from stumble.wire.kafka_record import LOG_APPEND_TIME, KafkaRecord

#: How far a claimed time may be after the append time: more than the clocks of synchronized hosts differ.
FUTURE_US: Final = 300 * 1_000_000
#: How far it may be before: more than the longest time for which an outbox or a topic is expected to hold an event,
#: and the default retention of requests. It is no setting, since a changed value would change stored facts.
PAST_US: Final = 400 * 86_400 * 1_000_000
#: Append times outside of these (2020-01-01, 9999-01-01) are those of a broker without a clock, or of no broker.
_EARLIEST_US: Final = 1_577_836_800_000_000
LATEST_US: Final = 253_370_764_800_000_000


def appended_at(record: KafkaRecord, read_at: int | None = None) -> int:
    """Return when the broker appended a record, UTC microseconds; where it does not say that, `read_at`, else now."""
    kind, milliseconds = record.timestamp()
    at = milliseconds * 1000
    if kind == LOG_APPEND_TIME and _EARLIEST_US <= at <= LATEST_US:
        return at
    return time.time_ns() // 1000 if read_at is None else read_at


def is_plausible(claimed: int, appended: int) -> bool:
    """Return whether a time that an event of a record claims can be true (both UTC microseconds)."""
    return appended - PAST_US <= claimed <= appended + FUTURE_US


def replacement_time(appended: int, offset: int) -> int:
    """Return the time of an event whose own is implausible: the append time, in the order of offsets.

    A broker gives all records of a batch one append time, in milliseconds; the offset orders them within it.
    """
    return appended + offset % 1000
