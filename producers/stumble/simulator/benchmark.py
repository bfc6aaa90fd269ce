"""The benchmark stream: fixed, published, the same bytes everywhere (its hash is in a test).

10 % of requests fail, 20 % of failures are of one problem, failure events carry tracebacks of 2 to 8 KB,
2 % of events come twice, and a request's events spread over several thousand others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from stumble.simulator.disturb import Disturbance
from stumble.simulator.stream import Item, Stream, StreamSettings
from stumble.wire.codec import encode
from stumble.wire.schemas import EVENT

#: Number of events of the published stream.
EVENTS = 200_000
_SEED = 20130507
#: 2026-11-20T00:00:00Z
_START_US = 1_795_132_800_000_000
#: A story has at most this many events, so the last request begun can't exceed the count.
_LONGEST = 80


def settings(*, success: bool = False, events: int = EVENTS) -> StreamSettings:
    """Return the settings of the stream, or of the one in which nothing fails."""
    return StreamSettings(
        seed=_SEED,
        start_us=_START_US,
        instances=5000,
        rate=2500.0,
        failures=0.0 if success else 0.1,
        events=events - _LONGEST,
        disturbance=Disturbance(duplicates=0.02),
        hot_share=0.0 if success else 0.2,
    )


def items(*, success: bool = False, events: int = EVENTS) -> Iterator[Item]:
    """Yield exactly `events` arrivals; what the last request leaves over is filled up with repeats."""
    last: list[Item] = []
    count = 0
    for item in Stream(settings(success=success, events=events)):
        count += 1
        last = [*last[-_LONGEST:], item]
        yield item
    for item in (last * 2)[: events - count]:
        yield item._replace(truths=())


def stream_hash(events: Iterable[dict[str, Any]]) -> str:
    """Return the SHA-256 of encoded events, each after its length in four bytes."""
    digest = hashlib.sha256()
    for event in events:
        body = encode(EVENT, event)
        digest.update(len(body).to_bytes(4, "big") + body)
    return digest.hexdigest()
