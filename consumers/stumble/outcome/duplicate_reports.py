"""One exception told twice, once with its causes: an unversioned notification names none, its versioned twin does."""

from __future__ import annotations

from collections.abc import Sequence

from stumble.outcome.facts import Fact

_Twin = tuple[str | None, str, str | None]


def completed(failing: list[Fact]) -> list[Fact]:
    """Return failing facts, each with the causes that another sighting of the same exception names.

    The same is what has host, class and text in common. Of several chains the longest counts; which of equally long
    ones does not depend on the order of the facts.
    """
    if len(failing) < 2:
        return failing
    chains: dict[_Twin, tuple[str, ...]] = {}
    for fact in failing:
        if fact.failure is not None and fact.failure.chain:
            twin, chain = _twin(fact), fact.failure.chain
            chains[twin] = max(chains.get(twin, ()), chain, key=_rank)
    return [_with_causes(fact, chains) for fact in failing] if chains else failing


def _rank(chain: Sequence[str]) -> tuple[int, Sequence[str]]:
    return len(chain), chain


def _twin(fact: Fact) -> _Twin:
    assert fact.failure is not None
    return fact.origin.host, fact.failure.exception, fact.failure.message


def _with_causes(fact: Fact, chains: dict[_Twin, tuple[str, ...]]) -> Fact:
    if fact.failure is None or fact.failure.chain:
        return fact
    result = chains.get(_twin(fact))
    return fact if result is None else fact._replace(failure=fact.failure._replace(chain=result))
