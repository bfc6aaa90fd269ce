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
    alive: bool = True,
    starting: bool = False,
    ready_at: int | None = None,
) -> ProducerReport:
    return report(host, at)._replace(
        process=process,
        relay_host="r1",
        service="nova-compute",
        alive=alive,
        started_at=started * SECOND,
        starting=starting,
        ready_at=ready_at,
    )


def starts(*reports) -> list[ProducerStart]:
    fleet = ProducerReports(600, 45)
    fleet.add_reports(reports, 0)
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


@pytest.mark.parametrize(
    ("previous", "is_start"),
    [
        (compute("a", 90, 10), True),  # its last report is older than the start: nothing reported its end
        (compute("a", 110, 10, alive=False), True),
        (compute("a", 110, 10), False),  # it is still running: it completes its work before it ends
        (compute("a", 110, 10, host="h2"), True),
    ],
)
def test_start_counts_only_if_the_previous_process_has_ended(previous, is_start) -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([previous, compute("b", 110, 100, ready_at=105 * SECOND)], 0)
    assert ([one.host for one in fleet.starts() if one.started_at == 100 * SECOND] == ["h1"]) is is_start


def test_starts_of_other_services_do_not_count() -> None:
    assert starts(compute("b", 110, 100)._replace(service="nova-conductor")) == []


def test_older_report_changes_nothing_and_reports_of_dead_processes_expire() -> None:
    fleet = ProducerReports(600, 45)
    fleet.add_reports([report("r1", DAY * 3), compute("a", DAY * 3, 10, alive=False)], 0)
    fleet.add_reports([compute("a", DAY * 2, 10)], 0)
    assert fleet.hosts_of("r1") == {"r1", "h1"}
    fleet.add_reports([report("r1", DAY * 5)], 0)
    assert fleet.hosts_of("r1") == {"r1"}


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
    fleet, watch = ProducerReports(60, 45), PartitionWatch(60, 0, 20)
    returns = []
    for now in range(0, 600, 10):
        reporting = ["r1", "r2"] if now < 200 or now >= 400 else ["r1"]
        fleet.add_reports([report(name, now) for name in reporting], now)
        watch.update(fleet, 0, now)
        watch.mark(0, now * SECOND, now, fleet.relays)
        returns += [(now, name) for name in sorted(watch.returned)]
        watch.returned.clear()
    assert returns == [(10, "r1"), (10, "r2"), (400, "r2")]
