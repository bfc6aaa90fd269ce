"""Replay the events of a real-Nova run in other orders and batches, with duplicates: everything must end alike.

`python -m tests.nova.replay OUTBOX [--rounds 200]` does it on a PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from psycopg import Connection

from stumble.ingest.difference_writer import WITHDRAWN
from stumble.local.postgres import LocalPostgres
from stumble.outcome.diff import counters_of
from stumble.outcome.records import IN_PROGRESS
from stumble.store.migrate import migrate
from stumble.store.queries import query
from tests.nova import offline
from tests.support.projection import Hand, expected

Event = dict[str, Any]
State = dict[str, Any]

LIMITS = (8, 40, 200, 1000, 5000)
"""Batch limits; each batch of a round is of a quarter to so many events."""
DUPLICATES = 0.1
_DERIVED = {
    "requests": "request_key",
    "failures": "failure_id",
    "sightings": "event_id",
    "events": "event_id",
    "fact_sets": "instance_uuid, request_id",
}
#: Columns that tell of the writing, not of what was written, and what is packed with the text of such.
_OF_WRITING = {
    *("updated_at", "version", "xid", "kafka_partition", "kafka_offset", "stored_at"),
    *("joined_partition", "deadline", "closed"),
    # Whether a set ever looked as if it told of other requests: what was read first decides, and it stays.
    "has_context",
}


def disturbed(events: Sequence[Event], chance: random.Random) -> list[Event]:
    """Return the events shuffled, some of them twice or three times."""
    again = [chance.choice(events) for _ in range(int(len(events) * DUPLICATES))]
    mixed = [*events, *again]
    chance.shuffle(mixed)
    return mixed


def batches(events: Sequence[Event], chance: random.Random, limit: int | None = None) -> Iterator[Sequence[Event]]:
    """Cut events into batches whose sizes differ."""
    limit, at = limit or chance.choice(LIMITS), 0
    while at < len(events):
        size = chance.randint(max(1, limit // 4), limit)
        yield events[at : at + size]
        at += size


def project(hand: Hand, events: Sequence[Event], chance: random.Random, limit: int | None = None) -> State:
    """Empty the store, write the events batch by batch with a sweep now and then, return what is there then."""
    empty(hand)
    for batch in batches(events, chance, limit):
        hand.write(batch)
        if chance.random() < 0.1:
            hand.sweep()
    while hand.sweep():
        pass
    return state(hand.connection)


def empty(hand: Hand) -> None:
    """Forget everything, offsets included."""
    names = [
        row[0]
        for row in hand.rows(
            "select format('%%I.%%I', table_schema, table_name) from information_schema.tables"
            " where table_schema like 'stumble%%' and table_type = 'BASE TABLE' and table_name not like 'events_%%'"
            " and table_name not like 'alembic%%'"
        )
    ]
    hand.connection.execute("truncate " + ", ".join(names))
    hand.offsets = dict.fromkeys(hand.offsets, 0)
    hand.connection.execute(
        query("create_offsets"),
        {
            "topic": hand.ledger.topic,
            "topic_id": hand.ledger.topic_id,
            "partitions": list(hand.offsets),
            "offsets": [0] * len(hand.offsets),
        },
    )


def state(store: Connection[Any]) -> State:
    """Return all that is derived, what every counter comes to, and what subscribers hold in the end."""
    found: State = {name: _rows(store, name, order) for name, order in _DERIVED.items()}
    counted: Counter[tuple[str, ...]] = Counter()
    for metric, labels, value in store.execute(query("load_counters")):
        sign = -1 if metric.endswith(WITHDRAWN) else 1
        counted[metric.removesuffix(WITHDRAWN), *labels] += sign * value
    found["counters"] = {name: value for name, value in counted.items() if value}
    found["held"] = _held(store)
    return found


def _rows(store: Connection[Any], name: str, order: str) -> list[dict[str, Any]]:
    cursor = store.execute(f"select * from {name} order by {order}")
    columns = [column.name for column in cursor.description or ()]
    rows = [dict(zip(columns, row, strict=True)) for row in cursor]
    return [{key: value for key, value in row.items() if key not in _OF_WRITING | {"stored"}} for row in rows]


def _held(store: Connection[Any]) -> dict[str, Any]:
    """Return what a subscriber holds that keeps the highest revision.

    What was withdrawn again is the same as never told, and so is a request that is said to be in progress again.
    """
    last: dict[str, tuple[int, str, Any]] = {}
    rows = store.execute("select subject_id::text, revision, status, payload from publications order by xid, id")
    for subject, revision, status, payload in rows:
        assert revision > last.get(subject, (0,))[0], f"{subject}: revision {revision} is no step forward"
        last[subject] = (revision, status, payload)
    return {
        subject: payload
        for subject, (_, status, payload) in last.items()
        if status == "CURRENT" and payload.get("outcome") != IN_PROGRESS
    }


def differences(one: State, other: State) -> list[str]:
    """Say in what two states differ, a few words each."""
    wrong = []
    for name, rows in one.items():
        if rows == other[name]:
            continue
        left = rows if isinstance(rows, list) else sorted(rows.items())
        right = other[name] if isinstance(rows, list) else sorted(other[name].items())
        wrong.append(
            f"{name}: {[r for r in left if r not in right][:3]} instead of {[r for r in right if r not in left][:3]}"
        )
    return wrong


def wanted_counters(events: Iterable[Event]) -> dict[tuple[str, ...], int]:
    """Return what every counter's entered minus left must be, derived at once from all events."""
    return {name: value for name, value in counters_of(expected(events).values()).items() if value}


def replay(hand: Hand, events: Sequence[Event], rounds: int, seed: int = 0) -> list[str]:
    """Replay `rounds` times; returns in what any of them differs from the run's own order."""
    first = project(hand, events, random.Random(seed))
    if first["counters"] != wanted_counters(events):
        return [f"in the run's own order: {first['counters']} instead of {wanted_counters(events)}"]
    for number in range(rounds):
        chance = random.Random((seed << 16) + number)
        wrong = differences(project(hand, disturbed(events, chance), chance), first)
        if wrong:
            return [f"round {number} of seed {seed}: {line}" for line in wrong]
    return []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.nova.replay", description=__doc__)
    parser.add_argument("outbox", type=Path, help="an outbox that a run of Nova wrote")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    events, started = list(offline.events_of(asked.outbox)), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stumble-replay-") as folder:
        server = LocalPostgres(Path(folder), fsync=False)
        try:
            server.start()
            url = server.create_database("replay")
            migrate(url)
            hand = Hand(url)
            wrong = replay(hand, events, asked.rounds, asked.seed)
            hand.close()
        finally:
            server.stop()
    print("\n".join(wrong) or f"{asked.rounds} rounds of {len(events)} events ended alike", end="")
    print(f" ({time.monotonic() - started:.0f} s)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
