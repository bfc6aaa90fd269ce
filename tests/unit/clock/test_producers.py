"""The last reports of producers: which hosts report, and which compute services have restarted."""

from __future__ import annotations

import pytest

from stumble.clock.partition_watch import PartitionWatch
from stumble.clock.producers import ProducerReport, ProducerReports, ProducerStart
from tests.unit.clock.model import SECOND, report

DAY = 24 * 3600


def compute(
    process: str,
    at: int,
    started: int,
    *,
    host: str = "h1",
    relay: str = "r1",
    alive: bool = True,
    alive_until: int | None = None,
    seen: int | None = None,
    starting: bool = False,
    ready_at: int | None = None,
) -> ProducerReport:
    """Return a compute's status of ``at``; it was first reported (``seen``) when it started, unless that is given."""
    last_alive = at if alive else alive_until
    return report(host, at)._replace(
        process=process,
        relay_host=relay,
        service="nova-compute",
        alive=alive,
        started_at=started * SECOND,
        started_seen_at=(started if seen is None else seen) * SECOND,
        starting=starting,
        ready_at=ready_at,
        last_alive_at=None if last_alive is None else last_alive * SECOND,
    )


ENDED = compute("a", 95, 10, alive=False)


def starts(*reports, confirmation: float = 0.0) -> list[ProducerStart]:
    """Return the starts on ``h1`` as reports show them, beside those of a process that has ended."""
    fleet = ProducerReports(600, 45, confirmation)
    fleet.add_reports([ENDED, *reports], 0)
    return fleet.starts()


def start(began: int, settled: int) -> list[ProducerStart]:
    return [ProducerStart("h1", "r1", began * SECOND, settled * SECOND)]


def test_ready_compute_has_started_at_its_reported_time() -> None:
    assert starts(compute("b", 110, 100, ready_at=105 * SECOND)) == start(100, 105)


def test_compute_without_ready_time_is_settled_after_the_default_delay() -> None:
    assert starts(compute("b", 110, 100)) == start(100, 145)


def test_starting_compute_is_waited_for_up_to_the_limit() -> None:
    assert starts(compute("b", 160, 100, starting=True)) == []
    assert starts(compute("b", 800, 100, starting=True)) == start(100, 700)


def test_compute_that_died_after_its_start_is_ignored() -> None:
    assert starts(compute("b", 110, 100, ready_at=105 * SECOND, alive=False)) == []


READY = compute("b", 110, 100, ready_at=105 * SECOND)


@pytest.mark.parametrize(
    ("previous", "is_start"),
    [
        (compute("a", 90, 10), True),  # its last report is older than the start: nothing reported its end
        (compute("a", 110, 10, alive=False), True),
        (compute("a", 110, 10), False),  # it is still running: it completes its work before it ends
        (compute("a", 112, 10, alive=False, alive_until=110), False),  # two contradicting reports: one is not true
        (compute("a", 110, 10, host="h2"), False),  # no earlier process of this host is known
        (compute("a", 110, 10, alive=False, relay="r2"), False),  # two relays report one host
        (compute("a", 110, 10, alive=False)._replace(relay_named=False), False),
    ],
)
def test_start_counts_only_if_all_reports_of_its_host_agree(previous, is_start) -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([previous, READY], 0)
    assert ([one.host for one in fleet.starts() if one.started_at == 100 * SECOND] == ["h1"]) is is_start


def test_status_without_the_name_of_its_relay_starts_nothing() -> None:
    assert starts(READY) == start(100, 105)
    assert starts(READY._replace(relay_named=False)) == []


def test_start_is_decided_after_reports_have_agreed_for_a_while() -> None:
    assert starts(READY, confirmation=45) == start(100, 145)


def test_start_in_the_future_counts_from_its_first_report() -> None:
    assert starts(compute("b", 110, 90_000, seen=100, ready_at=90_001 * SECOND)) == start(100, 110)


def test_starts_of_other_services_do_not_count() -> None:
    assert starts(compute("b", 110, 100)._replace(service="nova-conductor")) == []


def test_reports_of_dead_processes_expire_and_removed_ones_are_dropped() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([report("r1", DAY * 3), compute("a", DAY * 3, 10, alive=False), compute("b", DAY * 3, 9)], 0)
    assert set(fleet.hosts_of({"r1"})) == {"r1", "h1"}
    fleet.add_reports([compute("b", DAY * 3, 9)._replace(removed=True)], 0)
    fleet.add_reports([report("r1", DAY * 5)], 0)
    assert set(fleet.hosts_of({"r1"})) == {"r1"}
    fleet.add_reports([report("r1", DAY * 5)._replace(removed=True)], 0)
    assert fleet.relays == {}


def test_age_of_a_report_is_measured_by_the_broker() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([report("r1", 100), report("r2", 100, clock=2 * DAY), report("r3", 100, clock=-2 * DAY)], 0)
    assert set(fleet.relays) == {"r1", "r2", "r3"}


def test_host_whose_last_report_is_much_older_is_removed_from_the_fleet() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([report("r1", DAY), report("r2", 3 * DAY)], 0)
    assert set(fleet.relays) == {"r2"}


def test_fleet_is_reporting_while_at_least_half_of_its_relays_report() -> None:
    fleet = ProducerReports(600, 45)
    assert not fleet.is_reporting(0)
    for at in (10, 20):
        fleet.add_reports([report("r1", at), report("r2", at)], at)
    assert fleet.is_reporting(130)
    assert not fleet.is_reporting(150)
    fleet.add_reports([report("r1", 150)], 150)
    assert fleet.is_reporting(160)
    fleet.add_reports([report("r3", 150)], 150)  # its first report may be old: it counts from the second one on
    assert not fleet.is_reporting(160)


def test_host_is_returned_once_after_its_silence() -> None:
    fleet, watch = ProducerReports(60, 45), PartitionWatch(60, 0, 3600, 20)
    returns = []
    for now in range(0, 600, 10):
        reporting = ["r1", "r2"] if now < 200 or now >= 400 else ["r1"]
        fleet.add_reports([report(name, now) for name in reporting], now)
        watch.update(fleet, 0, now)
        watch.mark(0, now * SECOND, now, fleet.relays)
        returns += [(now, name) for name in sorted(watch.returned)]
        watch.returned.clear()
    assert returns == [(10, "r1"), (10, "r2"), (400, "r2")]


def test_host_with_a_relay_does_not_belong_to_another_relay_that_names_it() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([report("cmp2", 10), report("evil", 10), compute("x", 10, 5, host="cmp2", relay="evil")], 0)
    assert fleet.hosts_of({"evil"}) == {"evil": {"evil"}}
    assert fleet.hosts_of({"cmp2"}) == {"cmp2": {"cmp2"}}


def test_bridged_host_belongs_to_all_bridges_that_name_it_unless_it_has_a_relay() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([report("b1", 10), report("b2", 10), report("r1", 10), compute("a", 10, 5)], 0)
    fleet.set_bridged([("n1", "b1"), ("n1", "b2"), ("n2", "b1"), ("h1", "b1")])
    assert fleet.hosts_of({"b1"}) == {"b1": {"b1"}, "n2": {"b1"}}
    assert fleet.hosts_of({"b1"}, partly=True) == {"b1": {"b1"}, "n1": {"b1"}, "n2": {"b1"}}
    assert fleet.hosts_of({"b1", "b2"}) == {"b1": {"b1"}, "b2": {"b2"}, "n1": {"b1", "b2"}, "n2": {"b1"}}
    assert fleet.hosts_of({"r1"}) == {"r1": {"r1"}, "h1": {"r1"}}


def test_host_without_a_relay_belongs_to_all_relays_that_name_it() -> None:
    fleet = ProducerReports(600, 45)
    processes = compute("a", 10, 5, relay="r1"), compute("b", 10, 5, relay="evil")
    fleet.add_reports([report("r1", 10), report("evil", 10), *processes], 0)
    assert fleet.hosts_of({"evil"}) == {"evil": {"evil"}}
    assert fleet.hosts_of({"evil", "r1"})["h1"] == {"evil", "r1"}
