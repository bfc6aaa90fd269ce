"""The watermark and silence, in a pipeline whose time can be set: nothing stalls because something else is down."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stumble.clock.partition_watch import PartitionWatch
from stumble.clock.producers import ProducerReports
from tests.unit.clock.model import DEADLINE, SECOND, SILENT, Pipeline, Request, word

HOUR = 3600
TEN = [f"h{number}" for number in range(10)]


def in_flight(hosts: list[str]) -> list[Request]:
    """On each host: one request that ends in time, one whose news goes on for hours, one that nobody hears of again."""
    made = []
    for number, host in enumerate(hosts):
        begin = 600 + 13 * number
        made += [
            Request([(begin, host), (begin + DEADLINE - 60, host)], ends=True),
            Request([(begin + 1000 * step, host) for step in range(16)], ends=True),
            Request([(begin, host)], ends=False),
        ]
    return made


ENDS = {number for number in range(30) if number % 3 != 2}
HANGS = set(range(30)) - ENDS


@pytest.mark.parametrize(
    "parts",
    [["store"], TEN, ["broker"], [*TEN, "broker"], ["store", "broker"], ["store", "broker", *TEN]],
    ids=["projector", "relays", "broker", "whole fleet and broker", "projector and broker", "everything"],
)
def test_three_hours_of_anything_down_make_nothing_stall_that_goes_on(parts):
    begin = 900
    pipeline = Pipeline(TEN, in_flight(TEN), [(part, begin, begin + 3 * HOUR) for part in parts])
    ever: set[int] = set()
    pipeline.stalled = Recording(ever)
    pipeline.run(7 * HOUR)
    assert ever & ENDS == set()
    assert set(pipeline.stalled) == HANGS  # afterwards the clock goes on, and finds what really hangs


class Recording(dict):
    """Keeps what was ever put into it."""

    def __init__(self, ever):
        super().__init__()
        self.ever = ever

    def __setitem__(self, key, value):
        self.ever.add(key)
        super().__setitem__(key, value)


def test_a_fleet_that_comes_back_host_by_host_makes_nothing_stall():
    down = [(host, 900, 900 + 3 * HOUR + 90 * number) for number, host in enumerate(TEN)]
    pipeline = Pipeline(TEN, in_flight(TEN), down)
    ever: set[int] = set()
    pipeline.stalled = Recording(ever)
    pipeline.run(7 * HOUR)
    assert ever & ENDS == set()


def test_of_ten_hosts_one_is_dead_for_good_and_only_its_requests_stall():
    requests = [Request([(600 + 300 * step, host) for step in range(40)], ends=False) for host in TEN]
    pipeline = Pipeline(TEN, requests, [("h3", 900, 99 * HOUR)])
    stalled = pipeline.run(3 * HOUR)
    assert set(stalled) == {3}
    at, why = stalled[3]
    assert why == "silence"
    assert 870 + SILENT <= at <= 870 + SILENT + 60  # its last word was at 870


def test_a_dead_host_holds_the_others_deadlines_back_only_until_it_counts_as_dead():
    requests = [Request([(600, host)], ends=False) for host in TEN]
    stalled = Pipeline(TEN, requests, [("h3", 700, 99 * HOUR)]).run(2 * HOUR)
    assert set(stalled) == set(range(10))
    assert all(600 + DEADLINE <= stalled[number][0] <= 600 + DEADLINE + 120 for number in range(10) if number != 3)


def test_without_any_relay_nothing_is_concluded():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, 20)
    for now in range(0, 5000, 10):
        watch.update(fleet, 0, now)
        watch.mark(0, now * SECOND, now, fleet.relays)
        assert watch.watermark(fleet, now) is None


def test_a_process_that_was_stopped_for_hours_counts_none_of_them():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, 20)
    for now in [*range(0, 300, 10), *range(20_000, 20_100, 10)]:
        fleet.add_reports([word("h1", now)] if now < 300 else [], now)
        watch.update(fleet, 0, now)
        watch.mark(0, now * SECOND, now, fleet.relays)
        assert watch.silent(fleet) == {}


def test_the_watermark_waits_for_what_a_host_holds_back():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, 20)
    for now in range(0, 600, 10):
        fleet.add_reports([word("h1", now), word("h2", now, oldest=50)], now)
        watch.update(fleet, 7, now)
        watch.mark(7, now * SECOND, now, fleet.relays)
    assert watch.watermark(fleet, 590) == 50 * SECOND


def test_a_partition_that_lags_concludes_nothing():
    fleet, watch = ProducerReports(600, 45), PartitionWatch(600, 60, 20)
    for now in range(0, 3000, 10):
        fleet.add_reports([word("h1", now)], now)
        watch.update(fleet, 6, now)
        watch.mark(6 if now < 1000 else 7, now * SECOND, now, fleet.relays)
    assert watch.watermark(fleet, 2990) is None
    assert watch.silent(fleet) == {}


outages = st.lists(
    st.tuples(
        st.sampled_from(["broker", "store", "h0", "h1", "h2", "h3"]),
        st.integers(0, 3 * HOUR),
        st.integers(60, 3 * HOUR),
    ).map(lambda one: (one[0], one[1], one[1] + one[2])),
    max_size=8,
)
lives = st.lists(
    st.tuples(
        st.integers(0, 2 * HOUR),
        st.lists(st.tuples(st.integers(10, DEADLINE - 100), st.sampled_from(["h0", "h1", "h2", "h3"])), max_size=8),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(outages, lives, st.sampled_from([1, 3, 50]))
def test_whatever_is_down_in_whatever_order_no_deadline_is_told_falsely(down, told, drain):
    requests = []
    for begin, gaps in told:
        at, signs = begin, [(begin, "h0")]
        for gap, host in gaps:
            at += gap
            signs.append((at, host))
        requests.append(Request(signs, ends=True))
    pipeline = Pipeline(["h0", "h1", "h2", "h3"], requests, down, drain)
    wrong: list[tuple[int, int, str]] = []

    class Checked(dict):
        def __setitem__(self, number, value):
            if value[1] == "deadline":
                wrong.append((number, *value))
            super().__setitem__(number, value)

    pipeline.stalled = Checked()
    pipeline.run(9 * HOUR)
    # A host that is down while others are heard may count as dead; that is no statement about a deadline. A host that
    # does is no longer waited for, and what it holds back of a request that went on elsewhere can't be known.
    if not any(part.startswith("h") and until - since >= SILENT - 60 for part, since, until in down):
        assert wrong == []
    assert pipeline.ended == set(range(len(requests)))
    assert pipeline.stalled == {}
