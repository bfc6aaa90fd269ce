"""A way that sees more signals than another never gives a worse answer about a request, in any recorded scenario."""

from __future__ import annotations

import pytest
from novaharness.vocabulary import Expected

from tests.nova.conftest import SCENARIOS
from tests.nova.matrix import results
from tests.nova.matrix.badness import badness_of
from tests.nova.matrix.recording import RELEASES
from tests.nova.matrix.ways import WAYS, Way, sees_more

PAIRS = [(poorer, richer) for poorer in WAYS for richer in WAYS if sees_more(richer, poorer)]


@pytest.mark.parametrize(("poorer", "richer"), PAIRS, ids=lambda way: way.key)
@pytest.mark.parametrize("release", RELEASES)
def test_more_signals_never_give_a_worse_answer(release: str, poorer: Way, richer: Way) -> None:
    worse = {}
    for scenario, items in results.items_of(release, poorer).items():
        expected = results.EXPECTED[scenario]
        with_less, with_more = (
            badness_of(expected, items),
            badness_of(expected, results.items_of(release, richer)[scenario]),
        )
        if with_more > with_less:
            worse[scenario] = f"{with_less._asdict()} becomes {with_more._asdict()}"
    assert worse == {}


def test_pairs_cover_tap_formats_and_bridge() -> None:
    keys = {(poorer.key, richer.key) for poorer, richer in PAIRS}
    assert {
        ("untapped", "driver-both"),
        ("bridge-both", "untapped"),
        ("bridge-legacy", "bridge-both"),
        ("bridge-versioned", "bridge-both"),
        ("driver", "driver-both"),
        ("bridge-legacy", "driver"),
    } <= keys
    assert ("bridge-legacy", "bridge-versioned") not in keys


STOPPED = Expected("stop", "FAILED", (("host1", "InstanceNotFound"),), None, "NONE", ("OPERATOR",), ("lost",))


def item(outcome: str, *failures: tuple[str, str, str], reason: str | None = None) -> dict[str, object]:
    """A record of a stop; each failure has host, class and blame."""
    rows = [{"host": host, "exception": name, "blame": blame, "reason": reason} for host, name, blame in failures]
    return {"action": "stop", "outcome": outcome, "failures": rows, "reason": reason}


RIGHT = ("host1", "InstanceNotFound", "OPERATOR")
FROM_BEST_TO_WORST = [
    item("FAILED", RIGHT, reason="the guest is lost"),
    item("FAILED", RIGHT, reason="it is gone"),
    item("FAILED", ("host1", "InstanceNotFound", "USER"), reason="the guest is lost"),
    item("FAILED", RIGHT, RIGHT, reason="the guest is lost"),
    item("IN_PROGRESS", RIGHT, reason="the guest is lost"),
    item("CANCELLED"),
]


def test_answers_are_ordered_by_what_misleads_most() -> None:
    found = [badness_of((STOPPED,), [one]) for one in FROM_BEST_TO_WORST]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert badness_of((STOPPED,), []) == badness_of((STOPPED,), [item("STALLED")])


def test_invented_request_is_worse_than_none() -> None:
    assert badness_of((), []) < badness_of((), [item("IN_PROGRESS")]) < badness_of((), [item("SUCCEEDED")])


def test_every_scenario_has_a_right_answer_without_badness() -> None:
    """A scenario whose own expectation can't be met would hide what is worse."""
    for scenario in SCENARIOS:
        assert badness_of(scenario.expected, [right(one) for one in scenario.expected]).is_none, scenario.name


def right(expected: Expected) -> dict[str, object]:
    """The record that a scenario expects."""
    text = " ".join(expected.reason_has) or "a text"
    blame = expected.blame[0] if expected.blame else "UNKNOWN"
    return item(expected.outcome, *((*failure, blame) for failure in expected.failures), reason=text) | {
        "action": expected.action
    }
