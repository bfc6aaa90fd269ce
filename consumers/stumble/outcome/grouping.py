"""Assigns facts to requests.

The facts of one request id on one instance are usually one request. They are several where Nova starts several
actions under one id (:data:`signals.SAME_ID_PAIRS`, one action on several targets). They are part of another request
where they continue it (a restarted service resumes its work under a new id without user or project).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from stumble.outcome import rules, signals
from stumble.outcome.facts import Fact
from stumble.wire.ids import family_of_action as family_of

#: Slot of a failure of one of several targets, if it is not known which.
_UNKNOWN_TARGET = ""


class RequestGroup:
    """The facts of one request. ``family`` is None while nothing names the action."""

    __slots__ = ("action", "facts", "family", "given_up", "request_id", "rule", "slot", "started_at", "target")

    def __init__(self, family: str | None, facts: Sequence[Fact], declaring: Fact | None = None) -> None:
        """``facts`` are sorted; ``declaring`` is the first that states the action, if it is already known."""
        if declaring is None:
            declaring = next(
                (f for f in facts if f.signal in signals.DECLARING and family_of(f.action or "") == family), None
            )
        self.family = family
        self.facts = facts
        self.action = declaring.action if declaring is not None else likely_action(family, facts)
        self.rule = rules.rule_of(self.action, stated=declaring is not None and declaring.signal == "request")
        self.target: tuple[str | None, str] | None = None
        self.slot: str | None = None
        #: Request id under which it began; facts under another one may continue it.
        self.request_id = facts[0].origin.request_id
        #: The fact with which a service ended the server's task without resuming this request.
        self.given_up: Fact | None = None
        self.started_at = declaring.at if declaring is not None else facts[0].at

    def extend(self, facts: Iterable[Fact]) -> None:
        """Add facts under another request id that continue this request."""
        self.facts = sorted([*self.facts, *facts], key=_order)


@lru_cache(maxsize=4096)
def families_named(signal: str, step: str | None, action: str | None, migration: str | None) -> tuple[str, ...]:
    """Return the families that a fact's names allow, the likeliest first; empty if they allow none."""
    if signal in signals.DECLARING:
        actions: tuple[str, ...] = (action,) if action else ()
    elif signal == "migration":
        by_type = signals.MIGRATION_ACTIONS.get(migration or "")
        actions = (by_type,) if by_type is not None else ()
    elif signal in signals.GIVING_UP:
        actions = signals.GIVING_UP[signal]
    else:
        actions = signals.STEP_ACTIONS.get(step or "") or signals.SIGNAL_ACTIONS.get(signal, ())
        if action and action not in actions:
            actions = (action, *actions)
    return tuple(dict.fromkeys(family_of(name) for name in actions))


def possible_families(fact: Fact) -> tuple[str, ...]:
    """Return the families that a fact's names, and the instance's state and owner in it, allow."""
    signal = fact.signal
    if signal in signals.ACTIONS_BY_OWNER:
        return (family_of(signals.ACTIONS_BY_OWNER[signal][fact.origin.owner_project_id is not None]),)
    if signal in signals.ACTIONS_BY_STATE and fact.state is not None:
        by_state = signals.ACTIONS_BY_STATE[signal]
        action = by_state.get(fact.state[0] or "") or by_state.get(fact.state[1] or "")
        if action is not None:
            return (family_of(action),)
    extra = fact.extra
    return families_named(signal, fact.step, fact.action, None if extra is None else extra.migration_type)


def likely_action(family: str | None, facts: Iterable[Fact]) -> str | None:
    """Return the action where no signal states it: a migration's type or flavors distinguish migrate from resize."""
    if family is None or family not in signals.CORRECTABLE:
        return family
    hint: str | None = None
    for fact in facts:
        if hint is None or hint == family:
            action = fact.action
            if fact.extra is not None and fact.signal == "migration":
                action = signals.MIGRATION_ACTIONS.get(fact.extra.migration_type or "")
            if action and family_of(action) == family:
                hint = action
    return hint or family


def split_requests(facts: Sequence[Fact]) -> list[RequestGroup]:
    """Split the facts of one request id on one instance into requests. ``facts`` are sorted and not empty."""
    declaring: dict[str, Fact] = {}
    for fact in facts:
        if fact.signal in signals.DECLARING and fact.action:
            declaring.setdefault(family_of(fact.action), fact)
    families = _families(facts, list(declaring))
    if len(families) > 1:
        return [part for group in _distribute(facts, families) for part in _by_target(group)]
    family = families[0] if families else None
    return _by_target(RequestGroup(family, facts, declaring.get(family or "")))


def _families(facts: Sequence[Fact], declared: list[str]) -> list[str]:
    """Return the families of the requests that share an id: those declared, and those that Nova starts beside them."""
    if declared:
        return declared + _undeclared(facts, declared)
    result = _certain(facts)
    inner = {name for name in result for other in result if name in rules.rule_of(other).inside}
    result = [name for name in result if name not in inner] or result[:1]
    return result[:1] + [name for name in result[1:] if frozenset((result[0], name)) in signals.SAME_ID_PAIRS]


def _undeclared(facts: Sequence[Fact], declared: list[str]) -> list[str]:
    """Return the families that facts name and Nova starts beside declared ones; parts of these are left out."""
    result: list[str] = []
    for one in declared:
        hints = signals.SAME_ID_HINTS.get(one)
        if hints is None:
            continue
        same_id_actions = signals.SAME_ID_ACTIONS[one]
        for fact in facts:
            if fact.signal in hints or fact.step in hints or fact.action in hints:
                names = possible_families(fact)
                if len(names) == 1 and names[0] in same_id_actions and names[0] not in declared:
                    result.append(names[0])
    return list(dict.fromkeys(result))


def _certain(facts: Sequence[Fact]) -> list[str]:
    """Return the families that undeclared facts name, in order; ambiguous ones only where nothing certain fits."""
    candidates = [names for fact in facts if (names := possible_families(fact))]
    sure = {names[0] for names in candidates if len(names) == 1}
    result: dict[str, None] = {}
    for names in candidates:
        fitting = [name for name in names if name in sure]
        result[fitting[0] if fitting else names[0]] = None
    return list(result)


def _distribute(facts: Sequence[Fact], families: list[str]) -> list[RequestGroup]:
    """Assign each fact to one of several requests that share a request id."""
    parts: dict[str, list[Fact]] = {name: [] for name in families}
    unassigned: list[Fact] = []
    for fact in facts:
        names = possible_families(fact)
        family = next((name for name in names if name in parts), None) or next(
            (one for one in families for name in names if name in rules.rule_of(one).inside), None
        )
        if family is None:
            unassigned.append(fact)
        else:
            parts[family].append(fact)
    for fact in unassigned:
        parts[_closest_family(fact, parts)].append(fact)
    return [RequestGroup(name, sorted(part, key=_order)) for name, part in parts.items() if part]


def _order(fact: Fact) -> tuple[int, str]:
    return fact.at, fact.event_id


def _closest_family(fact: Fact, parts: dict[str, list[Fact]]) -> str:
    """Return the family of a fact that names none: that of the same failure, else the last that started before."""
    for name, part in parts.items():
        if any(_same_failure(fact, other) for other in part):
            return name
    started = [(min(f.at for f in part), name) for name, part in parts.items() if part]
    before = [pair for pair in started if pair[0] <= fact.at]
    return max(before)[1] if before else min(started)[1] if started else next(iter(parts))


def _same_failure(one: Fact, other: Fact) -> bool:
    """Return whether two facts show a failure of the same class on the same host."""
    return (
        one.failure is not None
        and other.failure is not None
        and one.failure.exception == other.failure.exception
        and one.origin.host == other.origin.host
    )


def _by_target(group: RequestGroup) -> list[RequestGroup]:
    """Split one action on several targets. Where no fact names a target, the n-th start belongs to the n-th run."""
    if not group.rule.by_target:
        return [group]
    targets = list(dict.fromkeys(f.extra.target_id for f in group.facts if f.extra and f.extra.target_id))
    starts = sum(1 for f in group.facts if f.signal == "action_start")
    slots: list[str] = list(targets) + [f"#{n + 1}" for n in range(len(targets), max(starts, 1))]
    if len(slots) == 1 and not targets:
        return [group]
    parts = _by_slot(group.facts, slots, known=len(targets))
    groups = []
    for slot, part in parts.items():
        if part:
            one = RequestGroup(group.family, part)
            one.slot = None if slot in ("#1", _UNKNOWN_TARGET) else slot
            kinds = [f.extra.target_kind for f in part if f.extra and f.extra.target_id == slot]
            one.target = (kinds[0], slot) if kinds else None
            groups.append(one)
    return groups


def _by_slot(facts: Sequence[Fact], slots: list[str], known: int) -> dict[str, list[Fact]]:
    """Assign each fact to a slot: that of its own target, that of the same failure, else the one used last before it.

    The first ``known`` slots are targets that facts name. A failure that may belong to any of them gets none of them.
    """
    parts: dict[str, list[Fact]] = {slot: [] for slot in slots}
    counts = {"action_start": 0, "event_start": 0, "event_finish": 0}
    failed = [fact for fact in facts if fact.failure is not None and _target_of(fact) is not None]
    running: dict[str | None, str] = {}
    current = 0
    for fact in facts:
        target = _target_of(fact)
        if target is not None and fact.signal == "event_start":
            running[fact.origin.host] = target
        elif fact.signal == "event_finish":
            running.pop(fact.origin.host, None)
        if target is None and fact.failure is not None:
            target = next((_target_of(other) for other in failed if _same_failure(fact, other)), None)
            if target is None and known and _is_ambiguous(fact, known):
                target = running.get(fact.origin.host, _UNKNOWN_TARGET)
        if target == _UNKNOWN_TARGET:
            parts.setdefault(target, []).append(fact)
            continue
        if target is not None:
            current = slots.index(target)
        elif fact.signal in counts:
            current = min(counts[fact.signal], len(slots) - 1)
            counts[fact.signal] += 1
        parts[slots[current]].append(fact)
    return parts


def _target_of(fact: Fact) -> str | None:
    return (fact.extra.target_id or None) if fact.extra is not None else None


def _is_ambiguous(fact: Fact, known: int) -> bool:
    """Return whether a failure without a target id may belong to several targets: by its kind, or by their number."""
    kind = fact.extra.target_kind if fact.extra is not None else None
    return fact.signal == "exception" and (kind is not None or known > 1)
