"""Decisions in the owner's transaction: what is due is found, decided once, counted, published; news outranks it."""

from __future__ import annotations

import random

import pytest

from stumble.clock import findings as find
from stumble.clock.producers import ProducerStart
from stumble.ingest.decisions import DecisionJob
from stumble.ingest.errors import FencedError
from stumble.ingest.rederive import InstanceSelection, rederive
from stumble.outcome.deadlines import deadlines
from stumble.store.queries import query
from stumble.testing.events import NOW_US, event
from tests.support.projection import differences

HOUR = 3600
SECOND = 1_000_000
STEP = {"signal": "event_start", "step": "compute_stop_instance", "scope": "STEP"}


def stored_long_ago(hand):
    hand.connection.execute("update requests set updated_at = now() - interval '3 days'")


def overdue(hand, until=NOW_US, partitions=None):
    return find.overdue(
        hand.connection, dict.fromkeys(hand.offsets if partitions is None else partitions, until), deadlines({})
    )


def decide(hand, found, now=NOW_US):
    positions = {one.partition: hand.offsets[one.partition] for one in found}
    return hand.ledger.decide(hand.connection, DecisionJob(positions, found, now))


def outcomes(hand):
    return [row[0] for row in hand.rows("select outcome from requests order by started_at")]


def published(hand):
    return hand.rows("select revision, payload->>'outcome' from publications where kind = 'outcome' order by id")


def counted(hand):
    return dict(
        hand.rows(
            "select metric || '/' || labels[cardinality(labels)], sum(value)::int from counters "
            "group by metric, labels having sum(value) <> 0"
        )
    )


def stalled(hand, *events):
    hand.write(events)
    stored_long_ago(hand)
    found = overdue(hand)
    assert decide(hand, found) == found
    return found


def test_what_is_silent_for_longer_than_its_deadline_stalls_with_its_evidence(hand):
    (finding,) = stalled(hand, event(at=-2 * HOUR), event(at=-2 * HOUR + 1, **STEP))
    assert outcomes(hand) == ["STALLED"]
    ((reason, evidence, finished),) = hand.rows("select reason, evidence, finished_at is not null from requests")
    assert reason.endswith("longer than the 20 minutes for which stop may be silent.")
    assert "host-1" not in reason
    assert "last on host-1" in evidence
    assert finished
    assert published(hand) == [(1, "STALLED")]
    assert counted(hand) == {"requests/STALLED": 1}
    assert hand.rows("select payload->>'evidence' from publications") == [(evidence,)]
    assert hand.rows("select kind, evidence->>'facts' from decisions") == [("STALLED", "2")]
    assert overdue(hand) == []
    assert decide(hand, [finding]) == []  # a second owner's, a second time: nothing
    assert published(hand) == [(1, "STALLED")]


def test_what_came_in_just_now_is_news_whatever_its_clock_says(hand):
    hand.write([event(at=-48 * HOUR)])
    assert overdue(hand) == []


@pytest.mark.parametrize(("silent", "due"), [(19 * 60, 0), (21 * 60, 1)])
def test_the_deadline_is_the_actions_own(hand, silent, due):
    hand.write([event(at=-silent), event(at=-silent, action="live-migration", request_id="req-2")])
    stored_long_ago(hand)
    assert [one.request_id for one in overdue(hand)] == ["req-1"] * due


def test_an_action_that_nobody_knows_has_a_long_deadline(hand):
    hand.write([event(at=-23 * HOUR, action="levitate"), event(at=-25 * HOUR, action="levitate", request_id="req-2")])
    stored_long_ago(hand)
    assert [one.request_id for one in overdue(hand)] == ["req-2"]


def test_only_partitions_that_are_known_up_to_then_are_judged(hand):
    hand.write([event(at=-2 * HOUR)])
    stored_long_ago(hand)
    assert overdue(hand, partitions=[]) == []
    assert overdue(hand, until=NOW_US - 2 * HOUR * SECOND) == []
    others = [one for one in hand.offsets if one != hand.partition_of(event())]
    assert overdue(hand, partitions=others) == []


END = {"signal": "event_finish", "phase": "END", "step": "compute_stop_instance", "scope": "STEP"}


@pytest.mark.parametrize(
    ("news", "outcome"),
    [
        (event(at=-1, **END), "SUCCEEDED"),
        (event(at=-2 * HOUR + 5, **END), "SUCCEEDED"),  # it happened before the decision, and came after it
        (event(at=-1, **STEP), "IN_PROGRESS"),
    ],
)
def test_news_outranks_a_decision(hand, store_url, news, outcome):
    first = event(at=-2 * HOUR)
    stalled(hand, first)
    hand.write([news])
    assert outcomes(hand) == [outcome]
    assert published(hand) == [(1, "STALLED"), (2, outcome)]
    assert differences(store_url, [first, news]) == []
    assert hand.rows("select evidence from requests") == [(None,)]


def test_a_request_can_stall_again(hand):
    stalled(hand, event(at=-4 * HOUR))
    hand.write([event(at=-3 * HOUR, **STEP)])
    stored_long_ago(hand)
    decide(hand, overdue(hand), NOW_US + SECOND)
    assert outcomes(hand) == ["STALLED"]
    assert published(hand) == [(1, "STALLED"), (2, "IN_PROGRESS"), (3, "STALLED")]
    assert counted(hand) == {"requests/STALLED": 2, "requests_withdrawn/STALLED": 1}


def test_a_finding_that_news_has_overtaken_is_not_decided_upon(hand):
    hand.write([event(at=-2 * HOUR)])
    stored_long_ago(hand)
    found = overdue(hand)
    hand.write([event(at=-1, **STEP)])
    assert decide(hand, found) == []
    assert outcomes(hand) == ["IN_PROGRESS"]
    assert hand.rows("select count(*) from decisions") == [(0,)]


def test_who_is_not_where_the_store_is_decides_nothing(new_hand):
    owner, other = new_hand(), new_hand()
    owner.write([event(at=-2 * HOUR)])
    stored_long_ago(owner)
    with pytest.raises(FencedError):
        decide(other, overdue(owner))
    assert outcomes(owner) == ["IN_PROGRESS"]


def test_deriving_anew_takes_decisions_as_input(hand):
    stalled(hand, event(at=-2 * HOUR))
    report = rederive(hand.connection, "instance-actions", InstanceSelection(), from_events=True)
    assert (report.requests, report.publications) == (0, 0)
    assert outcomes(hand) == ["STALLED"]


def test_a_decision_about_one_request_leaves_its_siblings_alone(hand):
    """A delete that counts for the other requests of its server: all of them are derived together."""
    other = event(at=-1, request_id="req-2", action="delete", signal="action_start")
    hand.write([event(at=-2 * HOUR), other])
    stored_long_ago(hand)
    (finding,) = overdue(hand)
    decide(hand, [finding])
    assert outcomes(hand) == ["STALLED", "IN_PROGRESS"]
    hand.write([event(at=0, request_id="req-2", action="delete", signal="instance.delete", phase="END")])
    assert outcomes(hand) == ["CANCELLED", "SUCCEEDED"]


def test_what_is_in_flight_on_a_dead_host_stalls(hand):
    hand.write([event(at=-60), event(at=-60, request_id="req-2", host="host-2")])
    partition = hand.partition_of(event())
    found = find.on_dead_hosts(hand.connection, {(partition, "host-1"): NOW_US - 600 * SECOND})
    assert decide(hand, found) == found
    ((outcome, evidence),) = hand.rows("select outcome, evidence from requests where request_id = 'req-1'")
    assert (outcome, evidence.startswith("no news from host-1 since 20")) == ("STALLED", True)
    assert outcomes(hand).count("IN_PROGRESS") == 1


def restarted(hand, host="host-1", at=-5):
    start = ProducerStart(host, host, NOW_US + at * SECOND, NOW_US + at * SECOND)
    return find.on_restarted_hosts(hand.connection, [(hand.partition_of(event()), start)])


def test_work_that_a_restart_interrupted_has_failed_once_on_its_host(hand):
    hand.write([event(at=-60, host="api", service="nova-api"), event(at=-59, **STEP)])
    found = restarted(hand)
    assert decide(hand, found) == found
    assert outcomes(hand) == ["FAILED"]
    assert hand.rows(
        "select host, exception, occurred_at = to_timestamp(%s / 1e6) from failures", NOW_US - 5_000_000
    ) == [("host-1", "InterruptedByRestart", True)]
    assert hand.rows("select evidence like 'nova-compute on host-1 started anew%%' from requests") == [(True,)]
    assert counted(hand) == {"requests/FAILED": 1, "failures/OPERATOR": 1, "exceptions/InterruptedByRestart": 1}
    hand.write([event(at=1, **END)])  # it had been taken up after all
    assert outcomes(hand) == ["SUCCEEDED"]
    assert hand.rows("select status from publications where kind = 'failure' order by id") == [
        ("CURRENT",),
        ("RETRACTED",),
    ]


@pytest.mark.parametrize(
    "also",
    [
        event(at=-2, host="host-1", **STEP),  # init_host takes it up again
        event(at=-20, **END | {"step": "compute_prep_resize"}),  # it went on to another host: its part was done
        event(at=-20, host="host-2", **STEP),  # and was heard of there
    ],
    ids=["taken up", "handed on", "elsewhere"],
)
def test_what_a_restart_does_not_interrupt_goes_on(hand, also):
    prep = {**STEP, "step": "compute_prep_resize"} if also["step"] == "compute_prep_resize" else STEP
    hand.write([event(at=-60, action="resize"), event(at=-59, action="resize", **prep), {**also, "action": "resize"}])
    assert decide(hand, restarted(hand)) == []
    assert outcomes(hand) == ["IN_PROGRESS"]


def heard(hand, host="host-1"):
    return find.received_again(hand.connection, [(hand.partition_of(event()), host)], deadlines({}))


def test_what_stalled_by_silence_is_waited_for_again_when_its_host_is_heard(hand):
    hand.write([event(at=-60, action="live-migration")])
    partition = hand.partition_of(event())
    decide(hand, find.on_dead_hosts(hand.connection, {(partition, "host-1"): NOW_US}))
    assert outcomes(hand) == ["STALLED"]
    assert heard(hand, "host-2") == []
    found = heard(hand)
    assert decide(hand, found) == found
    assert outcomes(hand) == ["IN_PROGRESS"]
    assert hand.rows("select reason, evidence, finished_at from requests") == [(None, None, None)]
    assert published(hand) == [(1, "STALLED"), (2, "IN_PROGRESS")]
    assert heard(hand) == []
    assert decide(hand, found) == []
    decide(hand, find.on_dead_hosts(hand.connection, {(partition, "host-1"): NOW_US}))
    assert outcomes(hand) == ["STALLED"]
    assert counted(hand) == {"requests/STALLED": 2, "requests_withdrawn/STALLED": 1}


def test_what_is_past_its_own_deadline_stays_stalled_though_its_host_is_heard(hand):
    hand.write([event(at=-2 * HOUR)])
    decide(hand, find.on_dead_hosts(hand.connection, {(hand.partition_of(event()), "host-1"): NOW_US}))
    assert heard(hand) == []


def test_decisions_go_with_their_requests(hand):
    stalled(hand, event(at=-2 * HOUR))
    hand.connection.execute("update decisions set decided_at = decided_at - interval '500 days'")
    statement, old = query("expire_decisions"), {"days": 400, "chunk": 10}
    assert hand.connection.execute(statement, old).rowcount == 0
    hand.connection.execute("delete from requests")
    assert hand.connection.execute(statement, old).rowcount == 1


@pytest.mark.parametrize("seed", range(6))
def test_news_and_decisions_in_any_order_end_in_what_the_news_say(hand, store_url, seed):
    """Three requests whose events come shuffled, between looks of the clock that find whatever is due by then."""
    rng = random.Random(seed)
    names = ("req-1", "req-2", "req-3")
    told = [event(at=-5 * HOUR + n, request_id=name) for n, name in enumerate(names)]
    told += [event(at=-4 * HOUR + n, request_id=name, **STEP) for n, name in enumerate(names)]
    told += [event(at=-3 * HOUR + n, request_id=name, **END) for n, name in enumerate(names[:2])]
    news = told + rng.sample(told, 3)
    rng.shuffle(news)
    for step, one in enumerate(news):
        hand.write([one])
        stored_long_ago(hand)
        decide(hand, rng.sample(found := overdue(hand), rng.randint(0, len(found))), NOW_US + step)
    decide(hand, overdue(hand), NOW_US + len(news))
    assert sorted(outcomes(hand)) == ["STALLED", "SUCCEEDED", "SUCCEEDED"]
    net = counted(hand)
    assert net["requests/STALLED"] - net.get("requests_withdrawn/STALLED", 0) == 1
    assert net["requests/SUCCEEDED"] - net.get("requests_withdrawn/SUCCEEDED", 0) == 2
    assert "open/stop" not in net
    last = event(at=-2 * HOUR, request_id="req-3", **END)
    hand.write([last])
    assert differences(store_url, [*told, last]) == []
