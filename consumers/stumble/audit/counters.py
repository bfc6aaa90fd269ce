"""Compares counters with stored rows: entered less withdrawn equals the rows that exist or that retention deleted."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from stumble.ingest.difference_writer import WITHDRAWN
from stumble.outcome.diff import OPEN
from stumble.outcome.rules import RULES
from stumble.store.json_rows import as_json
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection, Cursor

Label = tuple[str, ...]


def by_partition(connection: Connection[Any]) -> dict[Label, dict[int, int]]:
    """Return by (metric, label …) and partition how many more a counter counts than there are rows, unless 0."""
    result: dict[Label, Counter[int]] = defaultdict(Counter)
    for partition, metric, labels, value in connection.execute(query("load_counters_by_partition")):
        result[metric, *labels][partition] += value
    for partition, metric, labels, value in connection.execute(
        query("count_expected_counters"), {"actions": list(RULES)}
    ):
        result[metric, *labels][partition] -= value
    return {label: {p: n for p, n in counts.items() if n} for label, counts in sorted(result.items())}


def total_surplus(connection: Connection[Any]) -> dict[Label, int]:
    """Return the same summed over all partitions: an instance moves to another one when partitions are added."""
    result = {label: sum(counts.values()) for label, counts in by_partition(connection).items()}
    return {label: value for label, value in result.items() if value}


def unexplained_moves(moved: Mapping[Label, int], left: dict[Label, int]) -> dict[Label, tuple[int, int]]:
    """Return (entered, withdrawn) of each label that `moved` by a number of rows, without what a surplus explains.

    `left` is the surplus. Rows that return and were never withdrawn, and rows that are withdrawn and were never
    counted, reduce it.
    """
    deltas = {}
    for label, change in moved.items():
        known = left.get(label, 0)
        used = min(change, known) if change > 0 and known > 0 else max(change, known) if change < 0 and known < 0 else 0
        left[label] = known - used
        if change != used:
            deltas[label] = (max(0, change - used), max(0, used - change))
    return deltas


def correct_counters(cursor: Cursor[Any], connection: Connection[Any]) -> int:
    """Correct counters to match the stored rows; return how many. The caller holds the locks of all partitions."""
    rows = []
    for (metric, *labels), counts in by_partition(connection).items():
        total = sum(counts.values())
        if not total:
            continue
        same = all(n * total > 0 for n in counts.values())
        for partition, n in counts.items() if same else [(min(counts), total)]:
            name = metric + WITHDRAWN if n > 0 and metric != OPEN else metric
            value = n if name != metric else -n
            rows.append({"kafka_partition": partition, "metric": name, "labels": labels, "value": value})
    if rows:
        order = sorted(rows, key=lambda row: (row["kafka_partition"], row["metric"], row["labels"]))
        cursor.execute(query("add_counters"), {"rows": as_json(order)})
    return len(rows)


def differing_counters(connection: Connection[Any]) -> list[dict[str, Any]]:
    """Return a difference for each counter that does not match the stored rows."""
    return [
        {
            "kind": "different",
            "what": "counter",
            "id": "/".join(label),
            "detail": f"counts {abs(more)} {'more' if more > 0 else 'fewer'} than there are",
        }
        for label, more in total_surplus(connection).items()
    ]
