"""Counters held against what is stored: entered less withdrawn is what there is, and what retention took out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stumble.consumers.outcome.rules import RULES
from stumble.consumers.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

Label = tuple[str, ...]


def surplus(connection: Connection[Any]) -> dict[Label, int]:
    """Return by (metric, label …) how many more a counter stands for than there are rows, where that isn't 0."""
    counted = {(metric, *labels): value for metric, labels, value in connection.execute(query("audit_counters"))}
    rows = connection.execute(query("audit_counts"), {"actions": list(RULES)})
    stored = {(metric, *labels): value for metric, labels, value in rows}
    found = {label: counted.get(label, 0) - stored.get(label, 0) for label in counted.keys() | stored.keys()}
    return {label: value for label, value in sorted(found.items()) if value}


def differing_counters(connection: Connection[Any]) -> list[dict[str, Any]]:
    """Return a difference for each counter, and each count of a problem, that does not fit what is stored."""
    found = [_told("counter", "/".join(label), value) for label, value in surplus(connection).items()]
    for fingerprint, counted, stored in connection.execute(query("audit_problem_counts")):
        found.append(_told("problem count", fingerprint, counted - stored))
    return found


def _told(what: str, name: str, surplus: int) -> dict[str, Any]:
    detail = f"stands for {abs(surplus)} {'more' if surplus > 0 else 'fewer'} than there are"
    return {"kind": "different", "what": what, "id": name, "detail": detail}
