"""What is there of some instances before they are put right: the rows themselves, whatever the fact sets remember.

Counters count rows. So what is counted is taken from the rows, and what was published from the fact sets, where they
still know it, or from the revisions.
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
#: No hash of any content: whatever is derived differs from it, and is written.
_UNLIKE = "?"


@dataclass(slots=True)
class StoredState:
    """By instance: what to take differences against, and how often each label is counted."""

    stored: dict[str, list[StoredRequest]] = field(default_factory=lambda: defaultdict(list))
    counted: dict[str, Counter[Label]] = field(default_factory=lambda: defaultdict(Counter))
    #: The partition that the rows of an instance are counted in.
    partitions: dict[str, int] = field(default_factory=dict)
    #: Subjects that stand published.
    published: set[str] = field(default_factory=set)


def before(cursor: Cursor[Any], instances: Sequence[str], sets: Iterable[FactSet]) -> StoredState:
    """Read what is there of `instances`."""
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
                key, request_id, folded, outcome, _UNLIKE, announced, tuple(failures.pop((instance, key), ()))
            )
        )
    for (instance, _), one in remembered.items():
        result.stored[instance].append(
            one._replace(row=_UNLIKE, failures=tuple(failures.pop((instance, one.request_key), ())))
        )
    _left_over(cursor, instances, result, failures)
    _look_published(cursor, result)
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
            StoredFailure(failure_id, (folded, blame, exception), _UNLIKE, _UNLIKE, sighting)
        )
    return failures


def _left_over(cursor: Cursor[Any], instances: Sequence[str], result: StoredState, failures: Failures) -> None:
    """Take in what has no request: failures that lost theirs, and publications that nothing stands for any more."""
    known = {one.request_key for stored in result.stored.values() for one in stored}
    known |= {one.failure_id for stored in result.stored.values() for it in stored for one in it.failures}
    known |= {one.failure_id for lost in failures.values() for one in lost}
    for instance, kind, subject, key in cursor.execute(
        query("load_published_subjects"), {"instances": list(instances)}
    ):
        if subject in known:
            continue
        if kind == "outcome":
            result.stored[instance].append(StoredRequest(key, None, _OTHER, _UNLIKE, _UNLIKE, _UNLIKE, ()))
        else:
            failures[instance, key].append(StoredFailure(subject, (_OTHER, "UNKNOWN", ""), _UNLIKE, _UNLIKE, ""))
    for (instance, key), lost in failures.items():
        stored = result.stored[instance]
        index = next((n for n, one in enumerate(stored) if one.request_key == key), None)
        if index is None:
            # A request that never was, so that its failures are told gone and nothing else is.
            stored.append(StoredRequest(key, None, _OTHER, "", "", "", tuple(lost)))
        else:
            stored[index] = stored[index]._replace(failures=(*stored[index].failures, *lost))


def _look_published(cursor: Cursor[Any], result: StoredState) -> None:
    subjects = [one.request_key for stored in result.stored.values() for one in stored]
    subjects += [one.failure_id for stored in result.stored.values() for it in stored for one in it.failures]
    rows = cursor.execute(query("load_known_revisions"), {"ids": subjects})
    result.published = {row[0] for row in rows}
    for instance, stored in result.stored.items():
        result.stored[instance] = [
            one._replace(announced=_UNLIKE if one.request_key in result.published else "") if one.outcome else one
            for one in stored
        ]


def counted_after(difference: Difference) -> Counter[Label]:
    """Return how often each label is counted of what is stored from now on."""
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
