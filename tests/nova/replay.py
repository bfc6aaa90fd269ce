"""Replay the events of a real-Nova run in other orders and batches, with duplicates: the end state must be the same.

`python -m tests.nova.replay OUTBOX [--rounds 200]` does it in a temporary PostgreSQL.
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
from tests.support.projection import EventWriter, expected

Event = dict[str, Any]
State = dict[str, Any]

LIMITS = (8, 40, 200, 1000, 5000)
"""Batch limits; each batch of a round has between a quarter of the limit and the limit of events."""
DUPLICATES = 0.1
_DERIVED = {
    "requests": "request_key",
    "failures": "failure_id",
    "sightings": "event_id",
    "events": "event_id",
    "fact_sets": "instance_uuid, request_id",
}
#: Columns about the write itself (time, transaction, offset), which differ between rounds.
_OF_WRITING = {
    *("updated_at", "version", "xid", "kafka_partition", "kafka_offset", "stored_at"),
    *("joined_partition", "deadline", "closed"),
    # Whether a set seemed to belong to other requests depends on the event that was read first, and stays so.
    "has_context",
}


def shuffled_with_duplicates(events: Sequence[Event], chance: random.Random) -> list[Event]:
    """Return the events in random order, some of them twice or three times."""
    repeated = [chance.choice(events) for _ in range(int(len(events) * DUPLICATES))]
    shuffled = [*events, *repeated]
    chance.shuffle(shuffled)
    return shuffled


def batches(events: Sequence[Event], chance: random.Random, limit: int | None = None) -> Iterator[Sequence[Event]]:
    """Cut events into batches of different sizes."""
    limit, start = limit or chance.choice(LIMITS), 0
    while start < len(events):
        size = chance.randint(max(1, limit // 4), limit)
        yield events[start : start + size]
        start += size


def project(writer: EventWriter, events: Sequence[Event], chance: random.Random, limit: int | None = None) -> State:
    """Empty the store, write the events batch by batch with a sweep after some, return the end state."""
    empty(writer)
    for batch in batches(events, chance, limit):
        writer.write(batch)
        if chance.random() < 0.1:
            writer.sweep()
    while writer.sweep():
        pass
    return state(writer.connection)


def empty(writer: EventWriter) -> None:
    """Empty all tables, offsets included."""
    names = [
        row[0]
        for row in writer.rows(
            "select format('%%I.%%I', table_schema, table_name) from information_schema.tables"
            " where table_schema like 'stumble%%' and table_type = 'BASE TABLE' and table_name not like 'events_%%'"
            " and table_name not like 'alembic%%' and table_name <> 'store_incarnations'"
        )
    ]
    writer.connection.execute("truncate " + ", ".join(names))
    writer.offsets = dict.fromkeys(writer.offsets, 0)
    writer.create_offsets()


def state(store: Connection[Any]) -> State:
    """Return all derived rows, the value of every counter, and the records that subscribers have in the end."""
    result: State = {name: _rows(store, name, order) for name, order in _DERIVED.items()}
    counters: Counter[tuple[str, ...]] = Counter()
    for metric, labels, value in store.execute(query("load_counters")):
        sign = -1 if metric.endswith(WITHDRAWN) else 1
        counters[metric.removesuffix(WITHDRAWN), *labels] += sign * value
    result["counters"] = {name: value for name, value in counters.items() if value}
    result["published"] = _last_published(store)
    return result


def _rows(store: Connection[Any], name: str, order: str) -> list[dict[str, Any]]:
    cursor = store.execute(f"select * from {name} order by {order}")
    columns = [column.name for column in cursor.description or ()]
    rows = [dict(zip(columns, row, strict=True)) for row in cursor]
    return [{key: value for key, value in row.items() if key not in _OF_WRITING | {"stored"}} for row in rows]


def _last_published(store: Connection[Any]) -> dict[str, Any]:
    """Return the records of a subscriber that stores the highest revision.

    A withdrawn record is the same as one that was never sent, and so is a request that is in progress again.
    """
    last: dict[str, tuple[int, str, Any]] = {}
    rows = store.execute(
        "select subject_id::text, revision, status, payload from publications order by incarnation, xid, id"
    )
    for subject, revision, status, payload in rows:
        assert revision > last.get(subject, (0,))[0], f"{subject}: revision {revision} is not higher than the last"
        last[subject] = (revision, status, payload)
    return {
        subject: payload
        for subject, (_, status, payload) in last.items()
        if status == "CURRENT" and payload.get("outcome") != IN_PROGRESS
    }


def differences(state_a: State, state_b: State) -> list[str]:
    """Return the differences of two states, one line for each kind of row."""
    lines = []
    for name, rows in state_a.items():
        if rows == state_b[name]:
            continue
        left = rows if isinstance(rows, list) else sorted(rows.items())
        right = state_b[name] if isinstance(rows, list) else sorted(state_b[name].items())
        lines.append(
            f"{name}: {[r for r in left if r not in right][:3]} instead of {[r for r in right if r not in left][:3]}"
        )
    return lines


def expected_counters(events: Iterable[Event]) -> dict[tuple[str, ...], int]:
    """Return the expected value (entered minus left) of every counter, derived in one step from all events."""
    return {name: value for name, value in counters_of(expected(events).values()).items() if value}


def replay(writer: EventWriter, events: Sequence[Event], rounds: int, seed: int = 0) -> list[str]:
    """Replay `rounds` times; return the differences of the first round that differs from the original order."""
    first = project(writer, events, random.Random(seed))
    if first["counters"] != expected_counters(events):
        return [f"in the original order: {first['counters']} instead of {expected_counters(events)}"]
    for number in range(rounds):
        chance = random.Random((seed << 16) + number)
        lines = differences(project(writer, shuffled_with_duplicates(events, chance), chance), first)
        if lines:
            return [f"round {number} of seed {seed}: {line}" for line in lines]
    return []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.nova.replay", description=__doc__)
    parser.add_argument("outbox", type=Path, help="an outbox that a run of Nova wrote")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    events, started = list(offline.events_of(arguments.outbox)), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stumble-replay-") as folder:
        server = LocalPostgres(Path(folder), fsync=False)
        try:
            server.start()
            url = server.create_database("replay")
            migrate(url)
            writer = EventWriter(url)
            lines = replay(writer, events, arguments.rounds, arguments.seed)
            writer.close()
        finally:
            server.stop()
    print("\n".join(lines) or f"{arguments.rounds} rounds of {len(events)} events have the same end state", end="")
    print(f" ({time.monotonic() - started:.0f} s)")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
