"""Compare the broker's and the database's clock with this host's: the times that hosts set order the events."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from stumble.checks.brokers import write_probe
from stumble.checks.kafka import Unanswered
from stumble.checks.model import IMPORTING, CheckContext, CheckResult, fine, skipped, warning, wrong

__all__ = ["check_clocks"]

_NOTICED, _HARMFUL = 1.0, 30.0
_TODO = "synchronize both with a time server (check with: chronyc tracking)"


def check_clocks(scope: CheckContext) -> Iterator[CheckResult]:
    """Compare the clocks, allowing for the time that the request took."""
    yield from _broker(scope)
    if scope.names_database:
        yield from _database(scope)


def _broker(scope: CheckContext) -> Iterator[CheckResult]:
    try:
        message, before, after = write_probe(scope)
    except (Unanswered, PermissionError) as error:
        yield skipped("broker", f"its time is unknown: {error}", "see the check `brokers`")
        return
    kind, stamp = message.timestamp()
    if kind != TIMESTAMP_LOG_APPEND_TIME:
        topic = scope.settings.kafka.topics.producers
        yield skipped(
            "broker", f"{topic} stores the times of its writers, not the broker's", "stumble topics apply --alter"
        )
        return
    yield compare_clock("broker", stamp / 1000, before, after)


def _database(scope: CheckContext) -> Iterator[CheckResult]:
    with IMPORTING:
        from stumble.checks.store import open_session  # noqa: PLC0415 - only where there is a database

    with open_session(scope) as connection:
        before = time.time()
        row = connection.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
        after = time.time()
    assert row is not None, "a select without a table returns a row"
    yield compare_clock("database", row[0], before, after)


def compare_clock(whose: str, read_time: float, before: float, after: float) -> CheckResult:
    """Return the result for a clock that was read when this host's was between `before` and `after` (seconds)."""
    apart = read_time - before if read_time < before else max(0.0, read_time - after)
    way = "behind" if apart < 0 else "ahead of"
    if abs(apart) < _NOTICED:
        return fine(whose, f"its clock is within {max(abs(apart), after - before):.2f} s of this host's")
    says = f"its clock is {abs(apart):.1f} s {way} this host's"
    if abs(apart) < _HARMFUL:
        return warning(whose, says, _TODO)
    return wrong(whose, f"{says}: requests may stall late or early, and tokens and certificates fail", _TODO)
