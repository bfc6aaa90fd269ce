"""The difference between stored and derived requests: rows to write, counters entered and left, publications.

All of these come from one comparison, so late events, joins, repairs and a change of rules take the same path. For the
comparison the store holds a :class:`StoredRequest` of each record: its ids, its counters' labels and hashes of its
content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

import orjson

from stumble.outcome.records import (
    FAILURE_FIELDS,
    IN_PROGRESS,
    OUTCOME_FIELDS,
    SHARED_FIELDS,
    FailureRecord,
    RequestRecord,
)
from stumble.outcome.rules import RULES

CURRENT: Final = "CURRENT"
SUPERSEDED: Final = "SUPERSEDED"
RETRACTED: Final = "RETRACTED"

#: Metrics whose entries and departures are counted.
REQUESTS: Final = "requests"
FAILURES: Final = "failures"
EXCEPTIONS: Final = "exceptions"
OPEN: Final = "open"

_OTHER: Final = "other"
_PACK_VERSION: Final = 2

#: (metric, label, label …): requests: action, outcome · failures: action, blame · exceptions: class · open: action.
CounterKey = tuple[str, ...]


class StoredFailure(NamedTuple):
    """What is stored of a failure for the comparison. ``sighting``: the id of its first event, if any."""

    failure_id: str
    counted: tuple[str, str, str]  # action, blame, exception
    row: str
    published: str
    sighting: str


class StoredRequest(NamedTuple):
    """What is stored of a request for the comparison.

    ``outcome`` is empty for a withdrawn request that was published: it may be derived again. ``announced`` is the hash
    of the last publication of its outcome, empty if there was none.
    """

    request_key: str
    request_id: str | None
    action: str
    outcome: str
    row: str
    announced: str
    failures: tuple[StoredFailure, ...]


@dataclass(frozen=True, slots=True)
class Publication:
    """One revision to publish of a failure or an outcome; the store numbers it.

    ``record`` and ``request`` are None where the subject was withdrawn: then the content of the last revision is
    published again with this status.
    """

    kind: Literal["failure", "outcome"]
    subject_id: str
    request_key: str
    status: str
    replaced_by: str | None
    record: RequestRecord | FailureRecord | None
    request: RequestRecord | None


@dataclass(slots=True)
class Difference:
    """All changes. ``stored`` is what to store of each request for the next comparison, also of unchanged ones."""

    upsert_requests: list[RequestRecord] = field(default_factory=list)
    delete_requests: list[str] = field(default_factory=list)
    upsert_failures: list[tuple[RequestRecord, FailureRecord]] = field(default_factory=list)
    delete_failures: list[str] = field(default_factory=list)
    counter_deltas: dict[CounterKey, tuple[int, int]] = field(default_factory=dict)
    publications: list[Publication] = field(default_factory=list)
    stored: list[StoredRequest] = field(default_factory=list)
    #: Requests to upsert as JSON, by request key: made once, for the hash and for the row.
    contents: dict[str, bytes] = field(default_factory=dict)

    def enter(self, counter: CounterKey) -> None:
        """Count an entry."""
        entered, left = self.counter_deltas.get(counter, (0, 0))
        self.counter_deltas[counter] = entered + 1, left

    def leave(self, counter: CounterKey) -> None:
        """Count a departure."""
        entered, left = self.counter_deltas.get(counter, (0, 0))
        self.counter_deltas[counter] = entered, left + 1


def compute_difference(stored: Sequence[StoredRequest], derived: Sequence[RequestRecord]) -> Difference:
    """Return the changes from ``stored`` to ``derived``; both hold all requests of the same fact sets."""
    result = Difference()
    before = {one.request_key: one for one in stored}
    for record in derived:
        _changed(result, before.pop(record.request_key, None), record)
    if before:
        _withdraw_requests(result, before.values(), derived)
    _failures(result, stored, derived)
    result.counter_deltas = {name: moved for name, moved in result.counter_deltas.items() if moved[0] != moved[1]}
    return result


def _counted_action(action: str | None) -> str:
    return action if action is not None and action in RULES else _OTHER


def _hash(content: object) -> str:
    return _digest(orjson.dumps(content))


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def _announced(record: RequestRecord) -> str:
    """Return the hash of what is published of an outcome."""
    failure_ids = [one.failure_id for one in record.failures]
    return _hash((SHARED_FIELDS.tuple_of(record), OUTCOME_FIELDS.tuple_of(record), failure_ids))


def _stored_failure(record: RequestRecord, failure: FailureRecord) -> StoredFailure:
    published = (SHARED_FIELDS.tuple_of(record), FAILURE_FIELDS.tuple_of(failure))
    counted = (_counted_action(record.action), failure.blame, failure.exception)
    row = _hash((published, failure))
    sighting = failure.event_ids[0] if failure.event_ids else ""
    return StoredFailure(failure.failure_id, counted, row, _hash(published), sighting)


def _count(result: Difference, action: str, outcome: str, move: Literal["enter", "leave"]) -> None:
    if not outcome:
        return
    counter = (OPEN, action) if outcome == IN_PROGRESS else (REQUESTS, action, outcome)
    (result.enter if move == "enter" else result.leave)(counter)


def _changed(result: Difference, before: StoredRequest | None, record: RequestRecord) -> None:
    """Add one request's own changes; failures are compared afterwards, because they can move between requests."""
    action = _counted_action(record.action)
    whole = orjson.dumps(record)
    row = _digest(whole)
    announced = before.announced if before is not None else ""
    if before is None or before.row != row or not before.outcome:
        result.upsert_requests.append(record)
        result.contents[record.request_key] = whole
        previous = (before.action, before.outcome) if before is not None else ("", "")
        if previous != (action, record.outcome):
            _count(result, previous[0], previous[1], "leave")
            _count(result, action, record.outcome, "enter")
        if announced or record.outcome != IN_PROGRESS:
            content = _announced(record)
            if content != announced:
                announced = content
                result.publications.append(
                    Publication("outcome", record.request_key, record.request_key, CURRENT, None, record, record)
                )
        failures = tuple(_stored_failure(record, one) for one in record.failures)
    else:
        failures = before.failures
    result.stored.append(
        StoredRequest(record.request_key, record.request_id, action, record.outcome, row, announced, failures)
    )


def _withdraw_requests(
    result: Difference, withdrawn: Iterable[StoredRequest], derived: Sequence[RequestRecord]
) -> None:
    """Withdraw requests that are no longer derived; another one of the same request id may replace them."""
    for one in withdrawn:
        if not one.outcome:
            result.stored.append(one)
            continue
        result.delete_requests.append(one.request_key)
        _count(result, one.action, one.outcome, "leave")
        announced = one.announced
        if announced:
            replacement = _replacement(one, derived)
            announced = "withdrawn"
            result.publications.append(
                Publication(
                    "outcome",
                    one.request_key,
                    one.request_key,
                    SUPERSEDED if replacement is not None else RETRACTED,
                    replacement.request_key if replacement is not None else None,
                    None,
                    replacement,
                )
            )
            result.stored.append(StoredRequest(one.request_key, one.request_id, one.action, "", "", announced, ()))


def _replacement(withdrawn: StoredRequest, derived: Iterable[RequestRecord]) -> RequestRecord | None:
    """Return the request that replaces a withdrawn one: of its request id and, if there is one, of its action."""
    same = [one for one in derived if one.request_id == withdrawn.request_id]
    return next((one for one in same if _counted_action(one.action) == withdrawn.action), same[0] if same else None)


def _failures(result: Difference, stored: Sequence[StoredRequest], derived: Sequence[RequestRecord]) -> None:
    before = {one.failure_id: (request, one) for request in stored for one in request.failures}
    if not before and not any(record.failures for record in derived):
        return
    digests = {one.failure_id: one for request in result.stored for one in request.failures}
    for record in derived:
        for failure in record.failures:
            known = before.pop(failure.failure_id, None)
            _changed_failure(result, known[1] if known else None, digests[failure.failure_id], record, failure)
    for request, one in before.values():
        _withdraw_failure(result, request, one, derived)


def _changed_failure(
    result: Difference,
    before: StoredFailure | None,
    now: StoredFailure,
    record: RequestRecord,
    failure: FailureRecord,
) -> None:
    if before is not None and before.row == now.row:
        return
    result.upsert_failures.append((record, failure))
    if before is None or before.counted != now.counted:
        if before is not None:
            _count_failure(result, before, "leave")
        _count_failure(result, now, "enter")
    if before is None or before.published != now.published:
        result.publications.append(
            Publication("failure", failure.failure_id, record.request_key, CURRENT, None, failure, record)
        )


def _count_failure(result: Difference, one: StoredFailure, move: Literal["enter", "leave"]) -> None:
    action, blame, exception = one.counted
    count = result.enter if move == "enter" else result.leave
    count((FAILURES, action, blame))
    count((EXCEPTIONS, exception))


def _withdraw_failure(
    result: Difference, request: StoredRequest, one: StoredFailure, derived: Iterable[RequestRecord]
) -> None:
    """Withdraw a failure; the failure that holds its sightings now supersedes it, if there is one."""
    result.delete_failures.append(one.failure_id)
    _count_failure(result, one, "leave")
    replacement = _failure_replacement(request, one, derived)
    result.publications.append(
        Publication(
            "failure",
            one.failure_id,
            request.request_key,
            SUPERSEDED if replacement is not None else RETRACTED,
            replacement[1].failure_id if replacement is not None else None,
            None,
            replacement[0] if replacement is not None else None,
        )
    )


def _failure_replacement(
    request: StoredRequest, withdrawn: StoredFailure, derived: Iterable[RequestRecord]
) -> tuple[RequestRecord, FailureRecord] | None:
    """Return what replaces a withdrawn failure: the failure of its sighting, or the cause if it was a verdict."""
    exception = withdrawn.counted[2]
    by_verdict = None
    for record in derived:
        for failure in record.failures:
            if withdrawn.sighting and withdrawn.sighting in failure.event_ids:
                return record, failure
        summed_up = record.verdict == exception and record.request_id == request.request_id
        if summed_up and record.failures and by_verdict is None:
            by_verdict = record, record.failures[-1]
    return by_verdict


def pack_stored(stored: Iterable[StoredRequest]) -> bytes:
    """Return the stored form of requests for the comparison."""
    rows = [(*one[:6], [tuple(failure) for failure in one.failures]) for one in stored]
    return orjson.dumps((_PACK_VERSION, rows))


def unpack_stored(packed: bytes) -> tuple[StoredRequest, ...]:
    """Return requests from their stored form. Raises ``ValueError`` for bytes that are not from :func:`pack_stored`."""
    version, rows = orjson.loads(packed)
    if version != _PACK_VERSION:
        raise ValueError(f"Stored requests have format version {version}; this release reads version {_PACK_VERSION}.")
    return tuple(
        StoredRequest(
            key,
            request_id,
            action,
            outcome,
            row,
            announced,
            tuple(StoredFailure(one[0], tuple(one[1]), *one[2:]) for one in failures),
        )
        for key, request_id, action, outcome, row, announced, failures in rows
    )


def counters_of(derived: Iterable[RequestRecord]) -> Mapping[CounterKey, int]:
    """Return what every counter's entered minus left must be for these records; tests compare the store with it."""
    result = Difference()
    for record in derived:
        _count(result, _counted_action(record.action), record.outcome, "enter")
        for failure in record.failures:
            _count_failure(result, _stored_failure(record, failure), "enter")
    return {name: entered for name, (entered, _) in result.counter_deltas.items()}
