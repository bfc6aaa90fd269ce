"""One exception reported twice: a versioned notification names its causes, an unversioned one does not."""

from __future__ import annotations

from collections.abc import Sequence

from stumble.outcome.facts import Fact

_ReportKey = tuple[str | None, str, str | None]


def with_known_causes(failing: list[Fact]) -> list[Fact]:
    """Return failing facts, each with the causes that another sighting of the same exception names.

    Two sightings show the same exception if host, class and message are equal. Of several chains the longest is used;
    the choice among equally long ones does not depend on the order of the facts.
    """
    if len(failing) < 2:
        return failing
    chains: dict[_ReportKey, tuple[str, ...]] = {}
    for fact in failing:
        if fact.failure is not None and fact.failure.chain:
            key, chain = _report_key(fact), fact.failure.chain
            chains[key] = max(chains.get(key, ()), chain, key=_rank)
    return [_with_causes(fact, chains) for fact in failing] if chains else failing


def _rank(chain: Sequence[str]) -> tuple[int, Sequence[str]]:
    return len(chain), chain


def _report_key(fact: Fact) -> _ReportKey:
    assert fact.failure is not None
    return fact.origin.host, fact.failure.exception, fact.failure.message


def _with_causes(fact: Fact, chains: dict[_ReportKey, tuple[str, ...]]) -> Fact:
    if fact.failure is None or fact.failure.chain:
        return fact
    result = chains.get(_report_key(fact))
    return fact if result is None else fact._replace(failure=fact.failure._replace(chain=result))
