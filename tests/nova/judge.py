"""Compare stumble's record of a request with the scenario table's expectation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

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


def _of_one(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    wrong = []
    if item["outcome"] != expected.outcome:
        wrong.append(f"outcome {item['outcome']} instead of {expected.outcome}")
    actual = Counter((failure["host"], failure["exception"]) for failure in item["failures"])
    expected_failures = Counter(expected.failures)
    wrong += [f"failure missing: {_named(one)}" for one in (expected_failures - actual).elements()]
    wrong += [f"failure too many: {_named(one)}" for one in (actual - expected_failures).elements()]
    if item["verdict"] != expected.verdict:
        wrong.append(f"verdict {item['verdict']} instead of {expected.verdict}")
    if expected.effect is not None and item.get("effect") != expected.effect:
        wrong.append(f"effect {item.get('effect')} instead of {expected.effect}")
    return wrong


def _named(failure: tuple[str | None, str | None]) -> str:
    return f"{failure[1]} on {failure[0]}"
