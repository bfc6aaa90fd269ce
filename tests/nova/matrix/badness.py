"""How much an answer misleads: numbers to compare the answers of two ways about the same requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

from novaharness.vocabulary import Expected

from tests.nova import judge
from tests.nova.matrix.grade import may_be_action

_OPEN = ("IN_PROGRESS", "STALLED")
Item = Mapping[str, Any]


class Badness(NamedTuple):
    """Compared from left to right: a wrong outcome misleads more than any number of poor reasons."""

    wrong_outcomes: int = 0
    """Requests with a final outcome that is not true, such as CANCELLED for FAILED, and invented ones."""
    open_requests: int = 0
    """Requests that have ended, and are absent or open; invented ones that are open."""
    wrong_failures: int = 0
    """Failures that are missing or invented."""
    wrong_causes: int = 0
    """Failures with another class, host or blame."""
    poor_reasons: int = 0
    """Texts that a reason should have, or should not."""

    @property
    def is_none(self) -> bool:
        """Whether the answer is right."""
        return not any(self)


def badness_of(expected: Sequence[Expected], items: Sequence[Item]) -> Badness:
    """Return the badness of records, with each compared with the request that it fits best."""
    size = max(len(expected), len(items))
    wanted, found = [*expected, *[None] * (size - len(expected))], [*items, *[None] * (size - len(items))]
    return min(_total(zip(wanted, order, strict=True)) for order in permutations(found))


def _total(pairs: Iterable[tuple[Expected | None, Item | None]]) -> Badness:
    return Badness(*map(sum, zip(Badness(), *(_of_pair(*pair) for pair in pairs), strict=True)))


def _of_pair(expected: Expected | None, item: Item | None) -> Badness:
    if item is not None and (expected is None or not may_be_action(item["action"], expected.action)):
        invented = Badness(open_requests=1) if item["outcome"] in _OPEN else Badness(wrong_outcomes=1)
        return invented if expected is None else _total([(None, item), (expected, None)])
    if expected is None:
        return Badness()
    if item is None:
        return Badness(
            open_requests=int(expected.outcome not in _OPEN),
            wrong_failures=len(expected.failures),
            poor_reasons=len(expected.reason_has),
        )
    failures = [(failure["host"], failure["exception"]) for failure in item["failures"]]
    missing, many = judge.unmatched(expected.failures, failures)
    blamed_wrong = sum(bool(expected.blame) and one["blame"] not in expected.blame for one in item["failures"])
    return Badness(
        wrong_outcomes=int(_is_wrong(expected, item)),
        open_requests=int(item["outcome"] in _OPEN and expected.outcome not in _OPEN),
        wrong_failures=abs(len(missing) - len(many)),
        wrong_causes=min(len(missing), len(many)) + blamed_wrong,
        poor_reasons=len(judge.missing_texts(expected, item)) + len(judge.revealed_texts(expected, item)),
    )


def _is_wrong(expected: Expected, item: Item) -> bool:
    """Return whether a final outcome is not true; SUCCEEDED for RECOVERED is true, and lacks a failure."""
    if expected.outcome == "RECOVERED" and item["outcome"] == "SUCCEEDED":
        return False
    return item["outcome"] not in (expected.outcome, *_OPEN)
