"""What is stored of some instances before a repair: the rows themselves, whatever their fact sets contain.

Counters count rows, so the counts come from the rows. What was published comes from the fact sets, where they still
have it, or from the revisions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stumble.outcome.diff import EXCEPTIONS, FAILURES, OPEN, REQUESTS, StoredFailure, StoredRequest
from stumble.outcome.records import IN_PROGRESS
from stumble.outcome.rules import RULES
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Cursor

    from stumble.ingest.factsets import FactSet
    from stumble.outcome.diff import Difference

Label = tuple[str, ...]
#: By instance and request key.
Failures = dict[tuple[str, str], list[StoredFailure]]
_OTHER = "other"
#: Equal to no digest: whatever is derived differs from it, and is written.
_NO_DIGEST = "?"


@dataclass(slots=True)
class StoredState:
    """By instance: what to compute differences from, and how often each label is counted."""

    stored: dict[str, list[StoredRequest]] = field(default_factory=lambda: defaultdict(list))
    counted: dict[str, Counter[Label]] = field(default_factory=lambda: defaultdict(Counter))
    #: The partition that the rows of an instance are counted in.
    partitions: dict[str, int] = field(default_factory=dict)
    #: Subjects that were published.
    published: set[str] = field(default_factory=set)


def load_stored_sets(cursor: Cursor[Any], instances: Sequence[str], sets: Iterable[FactSet]) -> StoredState:
    """Read what is stored of `instances`; `sets` are their fact sets."""
    result = StoredState()
    remembered = {(item.key[0], one.request_key): one for item in sets for one in item.stored}
    failures = _failures(cursor, instances, result)
    rows = cursor.execute(query("load_stored_requests"), {"instances": list(instances)}).fetchall()
    for instance, key, request_id, action, outcome, partition in rows:
        result.partitions[instance] = partition
        folded = _folded(action)
        name: Label = (OPEN, folded) if outcome == IN_PROGRESS else (REQUESTS, folded, outcome)
        result.counted[instance][name] += 1
        known = remembered.pop((instance, key), None)
        announced = known.announced if known else ""
        result.stored[instance].append(
            StoredRequest(
                key, request_id, folded, outcome, _NO_DIGEST, announced, tuple(failures.pop((instance, key), ()))
            )
        )
    for (instance, _), one in remembered.items():
        result.stored[instance].append(
            one._replace(row=_NO_DIGEST, failures=tuple(failures.pop((instance, one.request_key), ())))
        )
    _left_over(cursor, instances, result, failures)
    _load_published(cursor, result)
    return result


def _failures(cursor: Cursor[Any], instances: Sequence[str], result: StoredState) -> Failures:
    failures: Failures = defaultdict(list)
    rows = cursor.execute(query("load_stored_failures"), {"instances": list(instances)}).fetchall()
    for instance, key, failure_id, action, blame, exception, sighting, partition in rows:
        result.partitions[instance] = partition
        folded = _folded(action)
        result.counted[instance][FAILURES, folded, blame] += 1
        result.counted[instance][EXCEPTIONS, exception] += 1
        failures[instance, key].append(
            StoredFailure(failure_id, (folded, blame, exception), _NO_DIGEST, _NO_DIGEST, sighting)
        )
    return failures


def _left_over(cursor: Cursor[Any], instances: Sequence[str], result: StoredState, failures: Failures) -> None:
    """Add what has no request: failures whose request is missing, and publications without a row."""
    known = {one.request_key for stored in result.stored.values() for one in stored}
    known |= {one.failure_id for stored in result.stored.values() for it in stored for one in it.failures}
    known |= {one.failure_id for lost in failures.values() for one in lost}
    for instance, kind, subject, key in cursor.execute(
        query("load_published_subjects"), {"instances": list(instances)}
    ):
        if subject in known:
            continue
        if kind == "outcome":
            result.stored[instance].append(StoredRequest(key, None, _OTHER, _NO_DIGEST, _NO_DIGEST, _NO_DIGEST, ()))
        else:
            failures[instance, key].append(StoredFailure(subject, (_OTHER, "UNKNOWN", ""), _NO_DIGEST, _NO_DIGEST, ""))
    for (instance, key), lost in failures.items():
        stored = result.stored[instance]
        index = next((n for n, one in enumerate(stored) if one.request_key == key), None)
        if index is None:
            # A request that never existed: so its failures are published as retracted, and nothing else is.
            stored.append(StoredRequest(key, None, _OTHER, "", "", "", tuple(lost)))
        else:
            stored[index] = stored[index]._replace(failures=(*stored[index].failures, *lost))


def _load_published(cursor: Cursor[Any], result: StoredState) -> None:
    subjects = [one.request_key for stored in result.stored.values() for one in stored]
    subjects += [one.failure_id for stored in result.stored.values() for it in stored for one in it.failures]
    rows = cursor.execute(query("load_known_revisions"), {"ids": subjects})
    result.published = {row[0] for row in rows}
    for instance, stored in result.stored.items():
        result.stored[instance] = [
            one._replace(announced=_NO_DIGEST if one.request_key in result.published else "") if one.outcome else one
            for one in stored
        ]


def counted_after(difference: Difference) -> Counter[Label]:
    """Return how often each label is counted once the difference is stored."""
    counted: Counter[Label] = Counter()
    for one in difference.stored:
        if not one.outcome:
            continue
        counted[(OPEN, one.action) if one.outcome == IN_PROGRESS else (REQUESTS, one.action, one.outcome)] += 1
        for failure in one.failures:
            action, blame, exception = failure.counted
            counted[FAILURES, action, blame] += 1
            counted[EXCEPTIONS, exception] += 1
    return counted


def _folded(action: str) -> str:
    return action if action in RULES else _OTHER
