"""The watermark and silent hosts, in a pipeline with settable time: an outage elsewhere stalls no request."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stumble.clock.partition_watch import PartitionWatch
from stumble.clock.producers import ProducerReports
from tests.unit.clock.model import DEADLINE, HOLD, SECOND, SILENT, Pipeline, Request, report

HOUR = 3600
TEN = [f"h{number}" for number in range(10)]


def in_flight(hosts: list[str]) -> list[Request]:
    """Return for each host: a request that ends in time, one with events for hours, one without further events."""
    requests = []
    for number, host in enumerate(hosts):
        begin = 600 + 13 * number
        requests += [
            Request([(begin, host), (begin + DEADLINE - 60, host)], ends=True),
            Request([(begin + 1000 * step, host) for step in range(16)], ends=True),
            Request([(begin, host)], ends=False),
        ]
    return requests


ENDS = {number for number in range(30) if number % 3 != 2}
HANGS = set(range(30)) - ENDS


@pytest.mark.parametrize(
    "parts",
    [["store"], TEN, ["broker"], [*TEN, "broker"], ["store", "broker"], ["store", "broker", *TEN]],
    ids=["projector", "relays", "broker", "whole fleet and broker", "projector and broker", "everything"],
)
def test_three_hour_outage_of_any_part_stalls_only_hanging_requests(parts):
    begin = 900
    pipeline = Pipeline(TEN, in_flight(TEN), [(part, begin, begin + 3 * HOUR) for part in parts])
    ever_stalled: set[int] = set()
    pipeline.stalled = Recording(ever_stalled)
    pipeline.run(7 * HOUR)
    assert ever_stalled & ENDS == set()
    assert set(pipeline.stalled) == HANGS  # after the outage the clock finds the requests that really hang


class Recording(dict):
    """Records each key that was ever set."""

    def __init__(self, ever_stalled):
        super().__init__()
        self.ever_stalled = ever_stalled

    def __setitem__(self, key, value):
        self.ever_stalled.add(key)
        super().__setitem__(key, value)


def test_hosts_that_return_one_by_one_stall_no_running_request():
    down = [(host, 900, 900 + 3 * HOUR + 90 * number) for number, host in enumerate(TEN)]
    pipeline = Pipeline(TEN, in_flight(TEN), down)
    ever_stalled: set[int] = set()
    pipeline.stalled = Recording(ever_stalled)
    pipeline.run(7 * HOUR)
    assert ever_stalled & ENDS == set()


def test_dead_host_stalls_only_its_own_requests():
    requests = [Request([(600 + 300 * step, host) for step in range(40)], ends=False) for host in TEN]
    pipeline = Pipeline(TEN, requests, [("h3", 900, 99 * HOUR)])
    stalled = pipeline.run(3 * HOUR)
    assert set(stalled) == {3}
    at, why = stalled[3]
    assert why == "silence"
    assert 870 + SILENT <= at <= 870 + SILENT + 60  # its last report was at 870


def test_dead_host_delays_deadlines_of_others_only_until_it_counts_as_silent():
    requests = [Request([(600, host)], ends=False) for host in TEN]
    stalled = Pipeline(TEN, requests, [("h3", 700, 99 * HOUR)]).run(2 * HOUR)
    assert set(stalled) == set(range(10))
    assert all(600 + DEADLINE <= stalled[number][0] <= 600 + DEADLINE + 120 for number in range(10) if number != 3)


def test_no_watermark_without_any_relay():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, HOLD, 20)
    for now in range(0, 5000, 10):
        watch.update(fleet, 0, now)
        watch.mark(0, now * SECOND, now, fleet.relays)
        assert watch.watermark(fleet, now) is None


def test_time_while_the_process_was_stopped_does_not_count_as_silence():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, HOLD, 20)
    for now in [*range(0, 300, 10), *range(20_000, 20_100, 10)]:
        fleet.add_reports([report("h1", now)] if now < 300 else [], now)
        watch.update(fleet, 0, now)
        watch.mark(0, now * SECOND, now, fleet.relays)
        assert watch.silent(fleet) == {}


def test_watermark_waits_for_the_oldest_unsent_event():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, HOLD, 20)
    for now in range(0, 600, 10):
        fleet.add_reports([report("h1", now), report("h2", now, oldest=50)], now)
        watch.update(fleet, 7, now)
        watch.mark(7, now * SECOND, now, fleet.relays)
    assert watch.watermark(fleet, 590) == 50 * SECOND


def test_lagging_partition_has_no_watermark_and_no_silent_hosts():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, HOLD, 20)
    for now in range(0, 3000, 10):
        fleet.add_reports([report("h1", now)], now)
        watch.update(fleet, 6, now)
        watch.mark(6 if now < 1000 else 7, now * SECOND, now, fleet.relays)
    assert watch.watermark(fleet, 2990) is None
    assert watch.silent(fleet) == {}


def watch_fleet(reports_at, seconds=600, stored=7):
    """Return the reports and the watch after ``seconds``, with the reports that ``reports_at`` gives for each time."""
    fleet, watch = ProducerReports(SILENT, 45), PartitionWatch(SILENT, 60, HOLD, 20)
    for now in range(0, seconds, 10):
        fleet.add_reports(reports_at(now), now)
        watch.update(fleet, stored, now)
        watch.mark(stored, now * SECOND, now, fleet.relays)
    return fleet, watch


@pytest.mark.parametrize("clock", [2 * 86_400, 10 * 365 * 86_400, 90, 0])
def test_clock_that_is_ahead_moves_no_watermark_and_hides_no_host(clock):
    fleet, watch = watch_fleet(lambda now: [report("h1", now, clock=clock), report("h2", now, oldest=50)])
    assert watch.watermark(fleet, 590) == 50 * SECOND
    fleet, watch = watch_fleet(lambda now: [report("h1", now, clock=clock), report("h2", now)])
    assert 570 * SECOND <= (watch.watermark(fleet, 590) or 0) <= 590 * SECOND
    assert set(fleet.relays) == {"h1", "h2"}


def test_host_is_heard_at_once_when_its_clock_is_set_right():
    fleet, _ = watch_fleet(lambda now: [report("h1", now, clock=2 * 86_400 if now < 300 else 0), report("h2", now)])
    assert fleet.relays["h1"].reported_at == 590 * SECOND
    assert fleet.relays["h1"].known_until == 590 * SECOND


def test_report_that_waited_for_the_broker_counts_for_the_time_when_it_was_made():
    delayed = [report("h1", 600, delay=3 * HOUR), report("h2", 600, delay=3 * HOUR, clock=2 * 86_400)]
    fleet, _ = watch_fleet(lambda now: [report("h1", now), report("h2", now, clock=2 * 86_400)])
    fleet.add_reports(delayed, 600)
    assert {host: one.known_until for host, one in fleet.relays.items()} == {"h1": 600 * SECOND, "h2": 600 * SECOND}


@pytest.mark.parametrize("oldest", [-50 * 365 * 86_400, 50])
def test_hold_of_one_host_delays_others_for_a_limited_time(oldest):
    def reports_at(now):
        return [report("h1", now, oldest=oldest), report("h2", now)]

    fleet, watch = watch_fleet(reports_at, HOLD)
    assert watch.watermark(fleet, HOLD - 10) == oldest * SECOND
    assert watch.held(fleet) == {}
    fleet, watch = watch_fleet(reports_at, HOLD + 200)
    assert (watch.watermark(fleet, HOLD + 190) or 0) > HOLD * SECOND
    assert watch.held(fleet) == {"h1": oldest * SECOND}


def test_host_that_has_sent_its_events_is_waited_for_again():
    def reports_at(now):
        return [
            report("h1", now, oldest=50 if now < HOLD + 200 else None if now < HOLD + 300 else HOLD),
            report("h2", now),
        ]

    fleet, watch = watch_fleet(reports_at, HOLD + 400)
    assert watch.held(fleet) == {}
    assert watch.watermark(fleet, HOLD + 390) == HOLD * SECOND


outages = st.lists(
    st.tuples(
        st.sampled_from(["broker", "store", "h0", "h1", "h2", "h3"]),
        st.integers(0, 3 * HOUR),
        st.integers(60, 3 * HOUR),
    ).map(lambda one: (one[0], one[1], one[1] + one[2])),
    max_size=8,
)
request_histories = st.lists(
    st.tuples(
        st.integers(0, 2 * HOUR),
        st.lists(st.tuples(st.integers(10, DEADLINE - 100), st.sampled_from(["h0", "h1", "h2", "h3"])), max_size=8),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(outages, request_histories, st.sampled_from([1, 3, 50]))
def test_no_deadline_is_exceeded_falsely_under_any_outages(down, histories, drain):
    requests = []
    for begin, gaps in histories:
        at, events = begin, [(begin, "h0")]
        for gap, host in gaps:
            at += gap
            events.append((at, host))
        requests.append(Request(events, ends=True))
    pipeline = Pipeline(["h0", "h1", "h2", "h3"], requests, down, drain)
    wrong: list[tuple[int, int, str]] = []

    class Checked(dict):
        def __setitem__(self, number, value):
            if value[1] == "deadline":
                wrong.append((number, *value))
            super().__setitem__(number, value)

    pipeline.stalled = Checked()
    pipeline.run(9 * HOUR)
    # A host that is down while others report may count as dead; that says nothing about a deadline. Nothing waits for a
    # dead host any longer, and its unsent events of a request that continued on other hosts can't be known.
    if not any(part.startswith("h") and until - since >= SILENT - 60 for part, since, until in down):
        assert wrong == []
    assert pipeline.ended == set(range(len(requests)))
    assert pipeline.stalled == {}
