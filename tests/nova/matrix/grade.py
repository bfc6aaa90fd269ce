"""Grades: whether the records that a way leads to are right, incomplete or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

from novaharness.vocabulary import Expected

from stumble.wire.ids import family_of_action
from stumble.wire.taxonomy import WRAPPERS
from tests.nova import judge

RIGHT, EFFECT, INCOMPLETE, WRONG = "right", "effect", "incomplete", "wrong"
_OPEN = ("IN_PROGRESS", "STALLED")
#: The action that a way derives instead when the notifications of two actions are the same.
_SAME_NOTIFICATIONS = {"createBackup": "createImage", "evacuate": "rebuild"}
#: Outcomes that a way without all the signals may derive instead.
_PARTIAL = {"RECOVERED": ("SUCCEEDED",)}


def grade(expected: Sequence[Expected], items: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """Return the grade, and the differences from the complete expected records.

    Effect: all is right except the effect on the server, which is UNKNOWN. Incomplete: a request or a failure is
    absent, an outcome stays open, or an action has no name. Wrong: an outcome is not true, or a failure did not occur.
    """
    differences = judge.differences(expected, items)
    if not differences:
        return RIGHT, []
    errors = _all_errors(expected, items)
    if errors:
        return WRONG, errors
    return (EFFECT if all(text.startswith("effect UNKNOWN") for text in differences) else INCOMPLETE), differences


def _all_errors(expected: Sequence[Expected], items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the wrong values, with each item assigned to the request that fits it best."""
    matching = [item for item in items if any(may_be_action(item["action"], one.action) for one in expected)]
    errors = [f"{item['action']} did not occur" for item in items if item not in matching]
    if len(matching) > len(expected):
        return [*errors, f"{len(matching)} requests instead of {len(expected)}"]
    ways = (zip(ones, matching, strict=True) for ones in permutations(expected, len(matching)))
    return errors + min(([error for one, item in pairs for error in _errors(one, item)] for pairs in ways), key=len)


def _errors(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    if not may_be_action(item["action"], expected.action):
        return [f"{item['action']} did not occur"]
    return _wrong_values(expected, item)


def may_be_action(derived: str | None, action: str) -> bool:
    """Return whether a record can be about an action: some notifications don't tell which of two it was."""
    return (
        derived is None
        or family_of_action(derived) == family_of_action(action)
        or _SAME_NOTIFICATIONS.get(action) == derived
    )


def _wrong_values(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    outcome = item["outcome"]
    allowed = (expected.outcome, *_OPEN, *_PARTIAL.get(expected.outcome, ()))
    errors = [] if outcome in allowed else [f"{item['action']} {outcome} instead of {expected.outcome}"]
    possible = list(expected.failures)
    if expected.verdict:  # without the signal of the cause, the verdict is the only failure
        possible += [(failure["host"], expected.verdict) for failure in item["failures"]]
    _, many = judge.unmatched(possible, [_host_and_class(failure, expected) for failure in item["failures"]])
    errors += [f"{exception} on {host} did not occur" for host, exception in many]
    errors += judge.wrong_texts(_with_unknown_blame(expected), item)
    effect = item.get("effect")
    if expected.effect and item["failures"] and effect not in (expected.effect, "UNKNOWN"):
        errors.append(f"effect {effect} instead of {expected.effect}")
    return errors


def _with_unknown_blame(expected: Expected) -> Expected:
    """Return what a way without all the signals may derive: it may not know the blame."""
    return replace(expected, blame=(*expected.blame, "UNKNOWN")) if expected.blame else expected


def _host_and_class(failure: Mapping[str, Any], expected: Expected) -> tuple[str, str]:
    """Return host and class; where the signals contain only a wrapper, the class of the host's expected failure."""
    host, exception = failure["host"], failure["exception"]
    if exception in WRAPPERS:
        return next((one for one in expected.failures if one[0] == host), (host, exception))
    return host, exception
