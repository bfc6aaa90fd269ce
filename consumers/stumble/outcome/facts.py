"""Facts: what the derivation needs of an event, small enough to be stored with each request.

The facts of one (instance, request id) form a *fact set*. Facts are added by set union. A set is limited to its first
``MAX_FACTS`` by rank and event id, so that union stays associative: order and batches of arrival do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from stumble.outcome import signals
from stumble.outcome.fingerprint import message_hash
from stumble.wire.taxonomy import remote_class, strip_remote

#: Most facts in a set. A request that fails on three hosts, reported in four ways, has about sixty.
MAX_FACTS: Final = 256

_PACK_VERSION: Final = 1
#: Attribute of an event whose time was replaced, because it is implausible: the time that it claims, UTC microseconds.
CLAIMED_TIME: Final = "claimed_occurred_at"

#: (vm_state, task_state, vm_state before, task_state before)
State = tuple[str | None, str | None, str | None, str | None]


class EventOrigin(NamedTuple):
    """The origin of an event: what the events of one request from one process share."""

    request_id: str | None
    service: str | None
    host: str | None
    node: str | None
    cell: str | None
    region: str | None
    availability_zone: str | None
    cloud: str | None
    global_request_id: str | None
    owner_project_id: str | None
    initiator_user_id: str | None
    initiator_project_id: str | None
    display_name: str | None
    labels: tuple[str, ...]  # key, value, key, value … sorted by key


class FactSighting(NamedTuple):
    """A failure as one event shows it. ``message`` is the hash of the normalised text, never the text."""

    exception: str
    chain: tuple[str, ...]
    code: int | None
    reason: str | None
    blame: str
    retryable: bool | None
    message: str | None
    token: str | None
    remote: bool
    detail: bool


class FactExtra(NamedTuple):
    """Fields that few events have."""

    migration_id: str | None
    migration_type: str | None
    migration_status: str | None
    source_host: str | None
    dest_host: str | None
    target_kind: str | None
    target_id: str | None
    step_id: str | None
    attempt_id: str | None
    outcome: str | None
    #: The time that the event claims, if ``Fact.at`` replaces it: see :func:`has_own_time`. Older stored facts lack it.
    claimed_at: str | None = None


class Fact(NamedTuple):
    """One event. Facts sort by time, then id."""

    at: int
    event_id: str
    signal: str
    phase: str
    action: str | None
    step: str | None
    state: State | None
    failure: FactSighting | None
    extra: FactExtra | None
    origin: EventOrigin


NO_LABELS: Final[tuple[str, ...]] = ()
NO_EXTRA: Final = (None,) * len(FactExtra._fields)

#: Makes a named tuple from a tuple. Every event needs several, and `_make` takes twice as long.
_tuple: Final = tuple.__new__
_PARTS: Final = itemgetter("instance", "failure", "attributes", "labels")
_STATE: Final = itemgetter("vm_state", "task_state", "old_vm_state", "old_task_state")
_EXTRA: Final = itemgetter(*FactExtra._fields[:-2])
_ORIGIN: Final = itemgetter(*EventOrigin._fields[:-2])

#: Classes whose message names the class of the cause on another host (nova/compute/manager.py).
_CAUSE_IN_MESSAGE: Final = {
    "MigrationPreCheckError": re.compile(
        r"check_can_live_migrate_source from \S+ to host \S+: (?:RemoteError Remote error: )?(\w+)"
    ),
}


def label_pairs(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return labels as a fact stores them: key, value, key, value … sorted by key."""
    return tuple(text for pair in sorted(labels.items()) for text in pair)


def _chain(exception: str, chain: Iterable[str], message: str | None) -> tuple[str, ...]:
    """Return the classes inside an exception, outermost first; without any, the one that its message names."""
    inside = tuple(strip_remote(name) for name in chain)
    if inside and inside[0] == exception:
        inside = inside[1:]
    if inside or not message:
        return inside
    if exception == "RemoteError":
        named = remote_class(message)
        return (named,) if named else ()
    pattern = _CAUSE_IN_MESSAGE.get(exception)
    match = pattern.search(message) if pattern else None
    return (strip_remote(match[1]),) if match else ()


def sighting(failure: Mapping[str, Any], token: str | None, attributes: Mapping[str, str]) -> FactSighting:
    """Return what a fact stores of an event's failure; ``token`` is the event's failure id, if it has one."""
    raw_class = failure["exception"] or ""
    exception = strip_remote(raw_class)
    message, reason = failure["message"], failure["reason"]
    text = message or reason
    chain = _chain(exception, failure["chain"], message)
    return FactSighting(
        exception,
        chain,
        failure["code"],
        None if reason == exception or reason in chain else reason,  # a class name alone is not a text
        failure["blame"],
        failure["retryable"],
        None if text in {raw_class, exception} else message_hash(text),  # the class alone stands for a missing text
        token,
        raw_class != exception or exception == "RemoteError" or attributes.get("remote") == "true",
        bool(message or failure["traceback"]),
    )


def exact_move(action: str | None, old_flavor: str | None, new_flavor: str | None) -> str | None:
    """Return the exact action of a resize whose event has both flavors: Nova refuses a resize to the same flavor."""
    if action != "resize" or old_flavor is None or new_flavor is None:
        return action
    return "migrate" if old_flavor == new_flavor else "resize"


def fact_of(event: Mapping[str, Any]) -> Fact:
    """Return the fact of a decoded ``InstanceActionEvent`` (all fields present, times as integers)."""
    instance, failure, attributes, labels = _PARTS(event)
    extra = (*_EXTRA(event), attributes.get("outcome"), attributes.get(CLAIMED_TIME))
    name = None if instance is None else instance["display_name"]
    return _tuple(
        Fact,
        (
            event["occurred_at"],
            event["event_id"],
            event["source"]["signal"] or "",
            event["phase"],
            exact_move(event["action"], event["old_flavor"], event["new_flavor"]),
            event["step"],
            None if instance is None or instance["vm_state"] is None else _STATE(instance),
            None if failure is None else sighting(failure, event["failure_id"], attributes),
            None if extra == NO_EXTRA else _tuple(FactExtra, extra),
            _tuple(EventOrigin, (*_ORIGIN(event), name, label_pairs(labels) if labels else NO_LABELS)),
        ),
    )


def has_own_time(fact: Fact) -> bool:
    """Return whether a fact's time is of its host's clock.

    Else it is the time at which Kafka received the event, which shows no order: after an outage the events of two
    processes of one host arrive in any order.
    """
    return fact.extra is None or fact.extra.claimed_at is None


def _rank(fact: Fact) -> int:
    """Return a fact's rank: facts of rank 0 decide outcomes, those of rank 3 are dropped first."""
    if fact.signal in {"action_start", "action_finish", "request", "migration"}:
        return 0
    if fact.phase == "END":
        return 0
    if fact.failure is not None or fact.phase == "ERROR":
        return 1
    return 2 if fact.phase == "START" else 3


def is_unassigned(facts: Iterable[Fact]) -> bool:
    """Return whether a fact set has no initiator and proves no request of its own: it may continue another request."""
    for fact in facts:
        origin = fact.origin
        if origin.initiator_user_id or origin.initiator_project_id or fact.signal in signals.OWN:
            return False
    return True


def ends_task(fact: Fact) -> bool:
    """Return whether a fact shows that the server's task has ended."""
    return fact.signal == signals.UPDATE and fact.state is not None and not fact.state[1]


def sets_error(fact: Fact) -> bool:
    """Return whether a fact shows that the server was set to ERROR while its task went on."""
    return fact.signal == signals.UPDATE and fact.state is not None and fact.state[0] == "error" and bool(fact.state[1])


def has_context(facts: Sequence[Fact]) -> bool:
    """Return whether a fact set can change requests of its instance other than its own.

    Deletes and aborts can, and so can unassigned facts that show more than state. With more facts a set may lose its
    context; it must still be derived together with the others, because it may have changed them.
    """
    for fact in facts:
        if (
            fact.action in signals.CONTEXT_ACTIONS
            or fact.signal in signals.CONTEXT_SIGNALS
            or fact.step in signals.CONTEXT_STEPS
        ):
            return True
    return is_unassigned(facts) and any(
        fact.signal in signals.MEANINGFUL or ends_task(fact) or sets_error(fact) for fact in facts
    )


def merge_facts(known: Iterable[Fact], new: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return the set union of facts, sorted by time and id, bounded by ``MAX_FACTS``."""
    by_id: dict[str, Fact] = {}
    for facts in (known, new):
        for fact in facts:
            other = by_id.setdefault(fact.event_id, fact)
            if other is not fact and other != fact:
                # One id with two contents: no producer sends this. The choice must not depend on the order.
                by_id[fact.event_id] = min(other, fact, key=repr)
    limited: Iterable[Fact] = by_id.values()
    if len(by_id) > MAX_FACTS:
        limited = sorted(limited, key=lambda fact: (_rank(fact), fact.event_id))[:MAX_FACTS]
    return tuple(sorted(limited))  # ids are unique: facts compare by time and id alone


def pack_facts(facts: Iterable[Fact]) -> bytes:
    """Return the stored form of facts. Facts from one process share one origin there."""
    origins: dict[EventOrigin, int] = {}
    rows = []
    last, number = None, 0
    for fact in facts:
        if fact.origin != last:
            last = fact.origin
            number = origins.setdefault(last, len(origins))
        rows.append((*fact[:-1], number))
    return orjson.dumps((_PACK_VERSION, [tuple(origin) for origin in origins], rows), default=tuple)


def _origin(row: list[Any]) -> EventOrigin:
    row[13] = tuple(row[13])
    return EventOrigin._make(row)


def _unpacked_sighting(row: list[Any]) -> FactSighting:
    row[1] = tuple(row[1])
    return FactSighting._make(row)


def unpack_facts(packed: bytes) -> tuple[Fact, ...]:
    """Return facts from their stored form. Raises ``ValueError`` for bytes that :func:`pack_facts` did not write."""
    version, origin_rows, rows = orjson.loads(packed)
    if version != _PACK_VERSION:
        raise ValueError(f"Stored facts have format version {version}; this release reads version {_PACK_VERSION}.")
    origins = [_origin(row) for row in origin_rows]
    return tuple(
        [
            _tuple(
                Fact,
                (
                    *fields,
                    None if state is None else tuple(state),
                    None if failure is None else _unpacked_sighting(failure),
                    None if extra is None else FactExtra(*extra),
                    origins[origin],
                ),
            )
            for *fields, state, failure, extra, origin in rows
        ]
    )
