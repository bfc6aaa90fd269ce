"""The benchmark stream: fixed, with the same bytes on every machine (a test checks its hash).

10 % of requests fail, 20 % of failures belong to one problem, failure events contain tracebacks of 2 to 8 KB,
2 % of events arrive twice, and several thousand other events arrive between the events of a request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from stumble.simulator.disturb import Disturbance
from stumble.simulator.stream import Item, Stream, StreamSettings
from stumble.wire.codec import encode_record
from stumble.wire.schemas import EVENT

#: Number of events of the published stream.
EVENTS = 200_000
_SEED = 20130507
#: 2026-11-20T00:00:00Z
_START_US = 1_795_132_800_000_000
#: No story has more events, so the last request does not exceed the total.
_LONGEST = 80


def settings(*, success: bool = False, events: int = EVENTS) -> StreamSettings:
    """Return the settings of the stream; with `success`, of a stream without failures."""
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


def benchmark_items(*, success: bool = False, events: int = EVENTS) -> Iterator[Item]:
    """Yield exactly `events` arrivals; repeats fill the number up after the last request."""
    last: list[Item] = []
    count = 0
    for item in Stream(settings(success=success, events=events)):
        count += 1
        last = [*last[-_LONGEST:], item]
        yield item
    for item in (last * 2)[: events - count]:
        yield item._replace(truths=())


def stream_hash(events: Iterable[dict[str, Any]]) -> str:
    """Return the SHA-256 of the encoded events, each preceded by its length (4 bytes, big-endian)."""
    digest = hashlib.sha256()
    for event in events:
        body = encode_record(EVENT, event)
        digest.update(len(body).to_bytes(4, "big") + body)
    return digest.hexdigest()
