"""Groups sightings into failures: a failure that is seen several times counts once.

One failure is (request, host, root class), and the emitter's attempt id where there is one. A wrapper belongs to its
cause. An exception that a caller reports again belongs to the host that raised it. A verdict is not a failure while a
cause is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stumble.outcome import rules, signals
from stumble.outcome.facts import Fact, FactSighting, sets_error
from stumble.wire.taxonomy import RACES, VERDICTS, WRAPPERS


class FailureCluster:
    """The sightings of one failure."""

    __slots__ = ("attempt_id", "exception", "host", "names", "sightings")

    def __init__(self, host: str | None, exception: str, attempt_id: str | None) -> None:
        self.host = host
        self.exception = exception
        self.attempt_id = attempt_id
        #: Its class, and the classes under which other hosts reported it again.
        self.names = {exception}
        self.sightings: list[Fact] = []

    @property
    def identity(self) -> tuple[str | None, str, str | None]:
        """What its id consists of besides the request: unique within the request."""
        return self.host, self.exception, self.attempt_id

    @property
    def first(self) -> Fact:
        """Its first sighting on its own host; where that did not report it, the first one of all."""
        own = (fact for fact in self.sightings if fact.origin.host == self.host)
        return min(own, key=lambda fact: fact.at, default=self.sightings[0])

    @property
    def at(self) -> int:
        """When it was first seen on its own host."""
        return self.first.at


class FailureSet:
    """The failures of a request, and its verdict: the class with which Nova gave up, and Nova's text of it."""

    __slots__ = ("clusters", "verdict", "verdict_reason")

    def __init__(self, clusters: list[FailureCluster], verdict: str | None, verdict_reason: str | None = None) -> None:
        self.clusters = clusters
        self.verdict = verdict
        self.verdict_reason = verdict_reason


def root_of(sighting: FactSighting) -> str:
    """Return the root class: the outermost that is not a wrapper, else the innermost."""
    if sighting.exception not in WRAPPERS:
        return sighting.exception
    return next((name for name in sighting.chain if name not in WRAPPERS), (sighting.exception, *sighting.chain)[-1])


def is_race(fact: Fact) -> bool:
    """Return whether a failing fact has a class that a running delete can cause."""
    return fact.failure is not None and (root_of(fact.failure) in RACES or only_deleted(fact.failure))


def only_deleted(sighting: FactSighting) -> bool:
    """Return whether only a running delete can cause a failure; exceptions raised while it is handled count, too."""
    return sighting.exception == signals.DELETING or signals.DELETING in sighting.chain


def is_possible_race(one: FailureCluster, rule: rules.ActionRule) -> bool:
    """Return whether a delete, or an abort, at the same time can have caused a failure."""
    known = [fact.failure for fact in one.sightings if fact.failure is not None]
    if not known:
        return one.exception == rule.silent_class and bool(rule.silent_failures)
    if one.exception in RACES or any(only_deleted(sighting) for sighting in known):
        return True
    return one.exception in signals.COLLISIONS and not any(sighting.chain for sighting in known)


def find_failures(failing: Iterable[Fact], rule: rules.ActionRule) -> FailureSet:
    """Return the failures that ``failing`` facts, sorted, show."""
    direct: list[Fact] = []
    relayed: list[Fact] = []
    wrappers: list[Fact] = []
    verdicts: list[Fact] = []
    silent: list[Fact] = []
    for fact in failing:
        sighting = fact.failure
        if sighting is None or not sighting.exception:
            silent.append(fact)
            continue
        root = root_of(sighting)
        if root in VERDICTS:
            verdicts.append(fact)
        elif sighting.exception in WRAPPERS:
            wrappers.append(fact)
        elif _is_relayed(fact, sighting):
            relayed.append(fact)
        else:
            direct.append(fact)
    if rule.relayed_steps:
        direct = _without_relayed(direct, relayed, rule)
    clusters: list[FailureCluster] = []
    for fact in sorted(direct, key=_without_attempt):
        _join(clusters, fact, _same_host(clusters, fact))
    for fact in sorted(wrappers, key=_without_root):
        _join(clusters, fact, _wrapped(clusters, fact))
    _join_relayed(clusters, relayed, rule)
    _merge_chained(clusters)
    return _with_verdict(clusters, verdicts, silent, rule)


def _without_relayed(direct: Iterable[Fact], relayed: list[Fact], rule: rules.ActionRule) -> list[Fact]:
    """Move to ``relayed`` what the source of a move reports after the destination raised it; return the other facts."""
    direct = list(direct)
    origins: dict[str, str | None] = {}
    for fact in direct:
        if fact.step in rule.relayed_steps and fact.failure is not None:
            root = root_of(fact.failure)
            destination = fact.extra is not None and fact.extra.dest_host == fact.origin.host
            if destination or root not in origins:
                origins[root] = fact.origin.host
    remaining: list[Fact] = []
    for fact in direct:
        assert fact.failure is not None
        own = fact.step is not None and fact.step not in rule.relayed_steps | rule.waiting_steps
        origin = origins.get(root_of(fact.failure), fact.origin.host)
        (remaining if own or fact.origin.host == origin else relayed).append(fact)
    return remaining


def _is_relayed(fact: Fact, sighting: FactSighting) -> bool:
    """Return whether a failure may have been raised elsewhere and only reported again here."""
    service = fact.origin.service
    return (
        sighting.remote
        or fact.signal == "migration"
        or (sighting.exception in signals.RELAYING_CLASSES and bool(sighting.chain))
        or (service is not None and service in signals.CALLERS)
    )


def _attempt_id(fact: Fact) -> str | None:
    return None if fact.extra is None else fact.extra.attempt_id


def _join(clusters: list[FailureCluster], fact: Fact, cluster: FailureCluster | None) -> None:
    if cluster is None:
        assert fact.failure is not None
        cluster = FailureCluster(fact.origin.host, root_of(fact.failure), _attempt_id(fact))
        clusters.append(cluster)
    cluster.sightings.append(fact)
    if fact.failure is not None and fact.failure.exception not in WRAPPERS:
        cluster.names.add(fact.failure.exception)


def _join_relayed(clusters: list[FailureCluster], relayed: Iterable[Fact], rule: rules.ActionRule) -> None:
    """Add relayed facts to the failures that they report again; the other facts become failures of their own."""
    rest = []
    for fact in sorted(relayed, key=_without_cause):
        cluster = _origin_of(_candidates(clusters, fact, rule), fact)
        if cluster is None:
            rest.append(fact)
        else:
            _join(clusters, fact, cluster)
    for fact in sorted(rest, key=lambda one: one[:2]):
        _join(clusters, fact, _origin_of(_candidates(clusters, fact, rule), fact))


def _candidates(clusters: list[FailureCluster], fact: Fact, rule: rules.ActionRule) -> list[FailureCluster]:
    """Return the failures that a relayed fact may report again.

    Only hosts of a live migration call each other. In other actions a compute calls no other compute but the conductor,
    for the database: what it reports of that is a failure on its own host, of its own attempt.
    """
    if rule.relayed_steps or fact.origin.service != "nova-compute":
        return clusters
    return [one for one in clusters if one.host == fact.origin.host]


def _without_cause(fact: Fact) -> bool:
    """Sort key: relayed facts that name their cause come before those that may only repeat them."""
    return fact.failure is None or not fact.failure.chain


def _without_root(fact: Fact) -> tuple[bool, bool]:
    """Sort key: wrappers that show their cause come before those that may only repeat them."""
    assert fact.failure is not None
    return root_of(fact.failure) in WRAPPERS, not fact.failure.chain


def _without_attempt(fact: Fact) -> bool:
    """Sort key: facts with an attempt id come before those that may only repeat them."""
    return _attempt_id(fact) is None


def _same_host(clusters: Sequence[FailureCluster], fact: Fact) -> FailureCluster | None:
    """Return the failure of the same class on the same host and, where it is known, in the same attempt."""
    assert fact.failure is not None
    root, host, attempt = root_of(fact.failure), fact.origin.host, _attempt_id(fact)
    same = [one for one in clusters if one.host == host and one.exception == root]
    if attempt is not None:
        return next((one for one in same if one.attempt_id == attempt), None)
    token = fact.failure.token
    for one in same if token is not None else ():
        if any(seen.failure is not None and seen.failure.token == token for seen in one.sightings):
            return one
    return _latest_before(same, fact.at)


def _wrapped(clusters: Sequence[FailureCluster], fact: Fact) -> FailureCluster | None:
    """Return the failure that a wrapper wraps: that of its chain, else the last before it on its host."""
    assert fact.failure is not None
    here = [one for one in clusters if one.host == fact.origin.host]
    for one in here:
        if one.exception in fact.failure.chain:
            return one
    causes = [one for one in here if one.exception not in WRAPPERS]
    rootless = root_of(fact.failure) in WRAPPERS
    if not causes and rootless:
        causes = here
    if not causes and fact.failure.remote:
        causes = _of_class(clusters, root_of(fact.failure)) or (list(clusters) if rootless else [])
    return _latest_before(causes, fact.at) or _same_host(clusters, fact)


def _of_class(clusters: Iterable[FailureCluster], exception: str) -> list[FailureCluster]:
    return [one for one in clusters if exception in one.names]


def _latest_before(clusters: Sequence[FailureCluster], at: int) -> FailureCluster | None:
    """Return the last failure up to ``at``, else the first after it: clocks of hosts differ."""
    if not clusters:
        return None
    before = [one for one in clusters if one.sightings[0].at <= at]
    return before[-1] if before else clusters[0]


def _origin_of(clusters: Sequence[FailureCluster], fact: Fact) -> FailureCluster | None:
    """Return the failure that a relayed fact reports again, None if no other fact shows it."""
    assert fact.failure is not None
    root = root_of(fact.failure)
    same = _of_class(clusters, root)
    if not same:
        same = [one for one in clusters if not one.names.isdisjoint(fact.failure.chain)]
    return _latest_before(same, fact.at) or _same_host(clusters, fact)


def _merge_chained(clusters: list[FailureCluster]) -> None:
    """Merge a failure into the failure on the same host from which it was raised."""
    for outer in list(clusters):
        inner = next((one for one in clusters if one is not outer and _raised_from(outer, one)), None)
        if inner is not None:
            inner.sightings = sorted(inner.sightings + outer.sightings, key=lambda f: (f.at, f.event_id))
            clusters.remove(outer)


def _raised_from(outer: FailureCluster, inner: FailureCluster) -> bool:
    return outer.host == inner.host and any(
        f.failure is not None and f.failure.exception == outer.exception and inner.exception in f.failure.chain
        for f in outer.sightings
    )


def _with_verdict(
    clusters: list[FailureCluster], verdicts: list[Fact], silent: list[Fact], rule: rules.ActionRule
) -> FailureSet:
    """Assign what depends on the known causes: failures without a class, and verdicts."""
    if silent:
        _assign_silent(clusters, silent, rule)
    clusters.sort(key=lambda one: (one.at, one.host or "", one.exception))
    if not verdicts:
        return FailureSet(clusters, None)
    given = _original_verdict(verdicts)
    assert given.failure is not None
    root = root_of(given.failure)
    if clusters:
        return FailureSet(clusters, root, given.failure.reason)
    alone = FailureCluster(given.origin.host, root, _attempt_id(given))
    alone.sightings = verdicts
    return FailureSet([alone], None)


def _original_verdict(verdicts: Sequence[Fact]) -> Fact:
    """Return the sighting of the verdict from the conductor, which gave up, before those that report it again."""
    return min(
        verdicts,
        key=lambda f: (
            f.signal not in signals.GIVING_UP,
            f.failure is not None and f.failure.remote,
            f.origin.service not in signals.CALLERS,
            f.at,
            f.event_id,
        ),
    )


def _assign_silent(clusters: list[FailureCluster], silent: list[Fact], rule: rules.ActionRule) -> None:
    """Add a failure without a class to the last failure that ended the request, else make it a failure of its own."""
    for fact in silent:
        ending = [one for one in clusters if _can_have_led_to(one, fact, rule)]
        timed_out = rule.timed_out_class is not None and sets_error(fact)
        cluster = None if timed_out else _latest_before(ending, fact.at)
        if cluster is None:  # those of one host and attempt are one failure, as those with a class are
            name = rule.timed_out_class if timed_out and rule.timed_out_class else rule.silent_class
            own = FailureCluster(fact.origin.host, name, _attempt_id(fact))
            cluster = next((one for one in clusters if one.identity == own.identity), own)
        if cluster not in clusters:
            clusters.append(cluster)
        cluster.sightings.append(fact)


def _can_have_led_to(one: FailureCluster, fact: Fact, rule: rules.ActionRule) -> bool:
    """Return whether a failure ended the request before a failing fact without a class, and not while it was undone."""
    if one.host == fact.origin.host and one.at > fact.at:
        return False
    return any(seen.step not in rule.undoing_steps and ends_request(rule, seen) for seen in one.sightings)


def ends_request(rule: rules.ActionRule, fact: Fact) -> bool:
    """Return whether a failing fact ends its request: no other host will be tried."""
    if not rule.retries:
        return True
    signal, sighting = fact.signal, fact.failure
    if rule.stated:
        return signal in signals.DECLARING
    verdict = sighting is not None and root_of(sighting) in VERDICTS
    if verdict or signal in signals.GIVING_UP or signal in signals.DECLARING:
        return True
    if signal in rule.attempt_signals:
        return sighting is not None and not rule.final_classes.isdisjoint((sighting.exception, root_of(sighting)))
    if fact.step in rule.attempt_steps:
        return False
    return _ends_by_signal(rule, signal, fact.step)


def _ends_by_signal(rule: rules.ActionRule, signal: str, step: str | None) -> bool:
    if signal == "fault":
        return rule.fault_ends
    if signal == "migration":
        return rule.migration_ends
    if signal == "exception":
        return rule.exception_ends or step is not None
    return True
