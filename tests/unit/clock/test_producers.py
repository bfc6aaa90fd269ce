"""What producers' last words come to: who is heard, and which compute services started anew."""

from __future__ import annotations

import pytest

from stumble.clock.partition_watch import PartitionWatch
from stumble.clock.producers import ProducerReports, ProducerStart
from tests.unit.clock.model import SECOND, word

DAY = 24 * 3600


def compute(process: str, at: int, started: int, *, host: str = "h1", **known: object):
    return word(
        host, at, process=process, relay_host="r1", service="nova-compute", started_at=started * SECOND, **known
    )


def starts(*words) -> list[ProducerStart]:
    fleet = ProducerReports(600, 45)
    fleet.add_reports(words, 0)
    return fleet.starts()


def start(began: int, settled: int) -> list[ProducerStart]:
    return [ProducerStart("h1", "r1", began * SECOND, settled * SECOND)]


def test_a_compute_that_is_ready_has_started_when_it_says() -> None:
    assert starts(compute("b", 110, 100, ready_at=105 * SECOND)) == start(100, 105)


def test_one_that_does_not_tell_is_given_time() -> None:
    assert starts(compute("b", 110, 100)) == start(100, 145)


def test_one_that_is_still_starting_is_waited_for_but_not_for_ever() -> None:
    assert starts(compute("b", 160, 100, starting=True)) == []
    assert starts(compute("b", 800, 100, starting=True)) == start(100, 700)


def test_one_that_died_again_is_not_judged() -> None:
    assert starts(compute("b", 110, 100, ready_at=105 * SECOND, alive=False)) == []


@pytest.mark.parametrize(
    ("before", "found"),
    [
        (compute("a", 90, 10), True),  # its last word is older than the start: nobody buried it
        (compute("a", 110, 10, alive=False), True),
        (compute("a", 110, 10), False),  # it still works: it is ending its work before it goes
        (compute("a", 110, 10, host="h2"), True),
    ],
)
def test_the_one_before_it_must_be_gone(before, found) -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([before, compute("b", 110, 100, ready_at=105 * SECOND)], 0)
    assert ([one.host for one in fleet.starts() if one.started_at == 100 * SECOND] == ["h1"]) is found


def test_other_services_do_not_count() -> None:
    assert starts(compute("b", 110, 100)._replace(service="nova-conductor")) == []


def test_an_older_word_changes_nothing_and_words_of_the_dead_are_forgotten() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([word("r1", DAY * 3), compute("a", DAY * 3, 10, alive=False)], 0)
    fleet.add_reports([compute("a", DAY * 2, 10)], 0)
    assert fleet.hosts_of("r1") == {"r1", "h1"}
    fleet.add_reports([word("r1", DAY * 5)], 0)
    assert fleet.hosts_of("r1") == {"r1"}


def test_a_host_that_left_long_before_the_others_spoke_last_is_no_longer_of_the_fleet() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([word("r1", DAY), word("r2", 3 * DAY)], 0)
    assert set(fleet.relays) == {"r2"}


def test_the_fleet_speaks_while_at_least_half_of_it_is_heard() -> None:
    fleet = ProducerReports(600, 45)
    assert not fleet.is_reporting(0)
    for at in (10, 20):
        fleet.add_reports([word("r1", at), word("r2", at)], at)
    assert fleet.is_reporting(130)
    assert not fleet.is_reporting(150)
    fleet.add_reports([word("r1", 150)], 150)
    assert fleet.is_reporting(160)
    fleet.add_reports([word("r3", 150)], 150)  # its first word may be old: it is not heard before it says another
    assert not fleet.is_reporting(160)


def test_a_host_returns_once_after_its_silence() -> None:
    fleet, watch = ProducerReports(60, 45), PartitionWatch(60, 0, 20)
    returns = []
    for now in range(0, 600, 10):
        heard = ["r1", "r2"] if now < 200 or now >= 400 else ["r1"]
        fleet.add_reports([word(name, now) for name in heard], now)
        watch.update(fleet, 0, now)
        watch.mark(0, now * SECOND, now, fleet.relays)
        returns += [(now, name) for name in sorted(watch.returned)]
        watch.returned.clear()
    assert returns == [(10, "r1"), (10, "r2"), (400, "r2")]
