"""Compare stumble's record of a request with the scenario table's expectation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from novaharness.vocabulary import ANY_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from novaharness.vocabulary import Expected


def of_scenario(items: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return those of a request id's requests that belong to its scenario, by the harness's `result`."""
    return [item for item in items if not result.get("alone") or item["instance_uuid"] == result["server"]]


def differences(expected: Sequence[Expected], items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the differences, one sentence each; empty when the record is as expected.

    `items` are the requests of one request id as `/v1/requests/{id}` gives them.
    """
    expected_actions, actual = sorted(one.action for one in expected), sorted(str(one["action"]) for one in items)
    if expected_actions != actual:
        return [f"requests {actual or 'none'} instead of {expected_actions or 'none'}"]
    remaining = list(items)
    wrong: list[str] = []
    for one in expected:  # one request id can have an action twice: on two servers, or two volumes
        same_action = [item for item in remaining if item["action"] == one.action]
        best = min(same_action, key=lambda item: len(_of_one(one, item)))
        remaining.remove(best)
        wrong += _of_one(one, best)
    return wrong


def nova_record_agrees(nova: Mapping[str, Any] | None, expected: Sequence[Expected]) -> bool:
    """Whether Nova's own action record has an error exactly when a request failed."""
    has_error = nova is not None and (
        nova["message"] is not None or any(event["result"] == "Error" for event in nova["events"])
    )
    return has_error == any(one.outcome == "FAILED" for one in expected)


def unmatched(
    expected: Sequence[tuple[str, str]], actual: Sequence[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the (host, class) that are missing in `actual`, and those that are too many; ANY_CLASS fits each class."""
    missing, many = Counter(expected) - Counter(actual), Counter(actual) - Counter(expected)
    for host, exception in list(missing.elements()):
        fitting = next((one for one in many if one[0] == host and many[one]), None) if exception == ANY_CLASS else None
        if fitting:
            missing[host, exception] -= 1
            many[fitting] -= 1
    return list(missing.elements()), list(many.elements())


def wrong_texts(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with blame and reasons, one sentence each, except what a reason does not contain."""
    wrong = [
        f"blame {failure['blame']} of {failure['exception']} instead of {' or '.join(expected.blame)}"
        for failure in item["failures"]
        if expected.blame and failure["blame"] not in expected.blame
    ]
    return wrong + revealed_texts(expected, item)


def revealed_texts(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    """Return the texts that a reason must not contain and does, one sentence each."""
    reasons = [item["reason"], *(failure["reason"] for failure in item["failures"])]
    return [
        f"the reason contains {text!r}"
        for text in expected.reason_lacks
        if any(text.lower() in (reason or "").lower() for reason in reasons)
    ]


def missing_texts(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    """Return the expected texts that the reason does not contain, one sentence each."""
    reason = (item["reason"] or "").lower()
    return [f"the reason lacks {text!r}" for text in expected.reason_has if text.lower() not in reason]


def _of_one(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    wrong = []
    if item["outcome"] != expected.outcome:
        wrong.append(f"outcome {item['outcome']} instead of {expected.outcome}")
    missing, many = unmatched(
        expected.failures, [(failure["host"], failure["exception"]) for failure in item["failures"]]
    )
    wrong += [f"failure missing: {_named(one)}" for one in missing]
    wrong += [f"failure too many: {_named(one)}" for one in many]
    if item["verdict"] != expected.verdict:
        wrong.append(f"verdict {item['verdict']} instead of {expected.verdict}")
    if expected.effect is not None and item.get("effect") != expected.effect:
        wrong.append(f"effect {item.get('effect')} instead of {expected.effect}")
    return wrong + wrong_texts(expected, item) + missing_texts(expected, item)


def _named(failure: tuple[str | None, str | None]) -> str:
    return f"{failure[1]} on {failure[0]}"
