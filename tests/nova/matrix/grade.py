"""Grades: whether what a way tells is right, less than all of it, or false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from novaharness.vocabulary import Expected

from stumble.wire.ids import family
from stumble.wire.taxonomy import WRAPPERS
from tests.nova import judge

RIGHT, EFFECT, LESS, FALSE = "right", "effect", "less", "false"
_OPEN = ("IN_PROGRESS", "STALLED")
#: What a way that doesn't know which action it was takes it for: the notifications are the same.
_ALIKE = {"createBackup": "createImage", "evacuate": "rebuild"}
#: An outcome that was not seen whole: what may be told instead.
_SEEN_LESS = {"RECOVERED": ("SUCCEEDED",)}


def grade(expected: Sequence[Expected], items: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """Return the grade, and what differs from the whole truth.

    Effect: all is right but for the effect on the server, which is not known. Less: a request or a failure is absent,
    an outcome stays open, or an action is not known by its name. False: an outcome that is not so, a failure that
    never was.
    """
    wrong = judge.differences(expected, items)
    if not wrong:
        return RIGHT, []
    lies = _all_lies(expected, items)
    if lies:
        return FALSE, lies
    return (EFFECT if all(text.startswith("effect UNKNOWN") for text in wrong) else LESS), wrong


def _all_lies(expected: Sequence[Expected], items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is not so, each of the items taken for another one of the requests that there were."""
    meant = [item for item in items if any(_may_be(item["action"], one.action) for one in expected)]
    lies = [f"there was no {item['action']}" for item in items if item not in meant]
    if len(meant) > len(expected):
        return [*lies, f"{len(meant)} requests instead of {len(expected)}"]
    ways = (zip(ones, meant, strict=True) for ones in permutations(expected, len(meant)))
    return lies + min(([lie for one, item in pairs for lie in _lies(one, item)] for pairs in ways), key=len)


def _lies(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    if not _may_be(item["action"], expected.action):
        return [f"there was no {item['action']}"]
    return _untrue(expected, item)


def _may_be(told: str | None, action: str) -> bool:
    return told is None or family(told) == family(action) or _ALIKE.get(action) == told


def _untrue(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    outcome = item["outcome"]
    told = (expected.outcome, *_OPEN, *_SEEN_LESS.get(expected.outcome, ()))
    lies = [] if outcome in told else [f"{item['action']} {outcome} instead of {expected.outcome}"]
    true = Counter(expected.failures)
    if expected.verdict:  # where its cause isn't seen, the verdict is all that went wrong
        true.update((failure["host"], expected.verdict) for failure in item["failures"])
    found = Counter(_seen(failure, expected) for failure in item["failures"])
    lies += [f"{exception} on {host} never was" for host, exception in (found - true).elements()]
    effect = item.get("effect")
    if expected.effect and item["failures"] and effect not in (expected.effect, "UNKNOWN"):
        lies.append(f"effect {effect} instead of {expected.effect}")
    return lies


def _seen(failure: Mapping[str, Any], expected: Expected) -> tuple[str, str]:
    """Return host and class; where a wrapper is all that is seen of a failure on its host, that failure's class."""
    host, exception = failure["host"], failure["exception"]
    if exception in WRAPPERS:
        return next((one for one in expected.failures if one[0] == host), (host, exception))
    return host, exception
