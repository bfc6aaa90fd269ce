"""Decisions in the owner's transaction: made once, counted and published; a new event outranks them."""

from __future__ import annotations

import random

import pytest

from stumble.clock import findings as find
from stumble.clock.producers import ProducerStart
from stumble.ingest.decisions import DecisionJob
from stumble.ingest.errors import FencedError
from stumble.ingest.rederive import InstanceSelection, rederive
from stumble.outcome.deadlines import effective_deadlines
from stumble.store.queries import query
from stumble.testing.events import NOW_US, event
from tests.support.projection import differences

HOUR = 3600
SECOND = 1_000_000
STEP = {"signal": "event_start", "step": "compute_stop_instance", "scope": "STEP"}


def age_requests(writer):
    writer.connection.execute("update requests set updated_at = now() - interval '3 days'")


def overdue(writer, until=NOW_US, partitions=None):
    return find.overdue(
        writer.connection,
        dict.fromkeys(writer.offsets if partitions is None else partitions, until),
        effective_deadlines({}),
    )


def decide(writer, findings, now=NOW_US):
    positions = {one.partition: writer.offsets[one.partition] for one in findings}
    return writer.store_writer.decide(writer.connection, DecisionJob(positions, findings, now))


def outcomes(writer):
    return [row[0] for row in writer.rows("select outcome from requests order by started_at")]


def published(writer):
    return writer.rows(
        "select row_number() over (order by id), payload->>'outcome' from publications where kind = 'outcome'"
        " order by id"
    )


def counted(writer):
    return dict(
        writer.rows(
            "select metric || '/' || labels[cardinality(labels)], sum(value)::int from counters "
            "group by metric, labels having sum(value) <> 0"
        )
    )


def stall(writer, *events):
    writer.write(events)
    age_requests(writer)
    findings = overdue(writer)
    assert decide(writer, findings) == findings
    return findings


def test_request_silent_beyond_its_deadline_stalls_with_evidence(writer):
    (finding,) = stall(writer, event(at=-2 * HOUR), event(at=-2 * HOUR + 1, **STEP))
    assert outcomes(writer) == ["STALLED"]
    ((reason, evidence, finished),) = writer.rows("select reason, evidence, finished_at is not null from requests")
    assert reason.endswith("longer than the 20 minutes for which stop may have no event.")
    assert "host-1" not in reason
    assert "last on host-1" in evidence
    assert finished
    assert published(writer) == [(1, "STALLED")]
    assert counted(writer) == {"requests/STALLED": 1}
    assert writer.rows("select payload->>'evidence' from publications") == [(evidence,)]
    assert writer.rows("select kind, evidence->>'facts' from decisions") == [("STALLED", "2")]
    assert overdue(writer) == []
    assert decide(writer, [finding]) == []  # a second decision on the same finding changes nothing
    assert published(writer) == [(1, "STALLED")]


def test_request_stored_just_now_is_not_overdue_for_any_event_time(writer):
    writer.write([event(at=-48 * HOUR)])
    assert overdue(writer) == []


@pytest.mark.parametrize(("silent", "due"), [(19 * 60, 0), (21 * 60, 1)])
def test_deadline_depends_on_the_action(writer, silent, due):
    writer.write([event(at=-silent), event(at=-silent, action="live-migration", request_id="req-2")])
    age_requests(writer)
    assert [one.request_id for one in overdue(writer)] == ["req-1"] * due


def test_unknown_action_has_a_long_deadline(writer):
    writer.write([event(at=-23 * HOUR, action="levitate"), event(at=-25 * HOUR, action="levitate", request_id="req-2")])
    age_requests(writer)
    assert [one.request_id for one in overdue(writer)] == ["req-2"]


def test_only_partitions_with_a_late_enough_watermark_are_checked(writer):
    writer.write([event(at=-2 * HOUR)])
    age_requests(writer)
    assert overdue(writer, partitions=[]) == []
    assert overdue(writer, until=NOW_US - 2 * HOUR * SECOND) == []
    others = [one for one in writer.offsets if one != writer.partition_of(event())]
    assert overdue(writer, partitions=others) == []


END = {"signal": "event_finish", "phase": "END", "step": "compute_stop_instance", "scope": "STEP"}


@pytest.mark.parametrize(
    ("new_event", "outcome"),
    [
        (event(at=-1, **END), "SUCCEEDED"),
        (event(at=-2 * HOUR + 5, **END), "SUCCEEDED"),  # occurred before the decision, arrived after it
        (event(at=-1, **STEP), "IN_PROGRESS"),
    ],
)
def test_new_event_outranks_a_decision(writer, store_url, new_event, outcome):
    first = event(at=-2 * HOUR)
    stall(writer, first)
    writer.write([new_event])
    assert outcomes(writer) == [outcome]
    assert published(writer) == [(1, "STALLED"), (2, outcome)]
    assert differences(store_url, [first, new_event]) == []
    assert writer.rows("select evidence from requests") == [(None,)]


def test_request_can_stall_again(writer):
    stall(writer, event(at=-4 * HOUR))
    writer.write([event(at=-3 * HOUR, **STEP)])
    age_requests(writer)
    decide(writer, overdue(writer), NOW_US + SECOND)
    assert outcomes(writer) == ["STALLED"]
    assert published(writer) == [(1, "STALLED"), (2, "IN_PROGRESS"), (3, "STALLED")]
    assert counted(writer) == {"requests/STALLED": 2, "requests_withdrawn/STALLED": 1}


def test_finding_is_dropped_when_an_event_has_arrived_since(writer):
    writer.write([event(at=-2 * HOUR)])
    age_requests(writer)
    findings = overdue(writer)
    writer.write([event(at=-1, **STEP)])
    assert decide(writer, findings) == []
    assert outcomes(writer) == ["IN_PROGRESS"]
    assert writer.rows("select count(*) from decisions") == [(0,)]


def test_decision_with_outdated_offsets_is_fenced(new_writer):
    owner, other = new_writer(), new_writer()
    owner.write([event(at=-2 * HOUR)])
    age_requests(owner)
    with pytest.raises(FencedError):
        decide(other, overdue(owner))
    assert outcomes(owner) == ["IN_PROGRESS"]


def test_rederive_uses_decisions_as_input(writer):
    stall(writer, event(at=-2 * HOUR))
    report = rederive(writer.connection, "instance-actions", InstanceSelection(), from_events=True)
    assert (report.requests, report.publications) == (0, 0)
    assert outcomes(writer) == ["STALLED"]


def test_decision_about_one_request_changes_no_other_request_of_the_server(writer):
    """A delete affects the other requests of its server, so all of them are derived together."""
    other = event(at=-1, request_id="req-2", action="delete", signal="action_start")
    writer.write([event(at=-2 * HOUR), other])
    age_requests(writer)
    (finding,) = overdue(writer)
    decide(writer, [finding])
    assert outcomes(writer) == ["STALLED", "IN_PROGRESS"]
    writer.write([event(at=0, request_id="req-2", action="delete", signal="instance.delete", phase="END")])
    assert outcomes(writer) == ["CANCELLED", "SUCCEEDED"]


def test_request_in_progress_on_a_dead_host_stalls(writer):
    writer.write([event(at=-60), event(at=-60, request_id="req-2", host="host-2")])
    partition = writer.partition_of(event())
    findings = find.on_dead_hosts(writer.connection, {(partition, "host-1"): NOW_US - 600 * SECOND})
    assert decide(writer, findings) == findings
    ((outcome, evidence),) = writer.rows("select outcome, evidence from requests where request_id = 'req-1'")
    assert (outcome, evidence.startswith("no reports from host-1 since 20")) == ("STALLED", True)
    assert outcomes(writer).count("IN_PROGRESS") == 1


def find_interrupted(writer, host="host-1", at=-5):
    start = ProducerStart(host, host, NOW_US + at * SECOND, NOW_US + at * SECOND)
    return find.on_restarted_hosts(writer.connection, [(writer.partition_of(event()), start)])


def test_interrupted_work_fails_once_on_its_restarted_host(writer):
    writer.write([event(at=-60, host="api", service="nova-api"), event(at=-59, **STEP)])
    findings = find_interrupted(writer)
    assert decide(writer, findings) == findings
    assert outcomes(writer) == ["FAILED"]
    assert writer.rows(
        "select host, exception, occurred_at = to_timestamp(%s / 1e6) from failures", NOW_US - 5_000_000
    ) == [("host-1", "InterruptedByRestart", True)]
    assert writer.rows("select evidence like 'nova-compute on host-1 restarted%%' from requests") == [(True,)]
    assert counted(writer) == {"requests/FAILED": 1, "failures/OPERATOR": 1, "exceptions/InterruptedByRestart": 1}
    writer.write([event(at=1, **END)])  # the compute had continued it after all
    assert outcomes(writer) == ["SUCCEEDED"]
    assert writer.rows("select status from publications where kind = 'failure' order by id") == [
        ("CURRENT",),
        ("RETRACTED",),
    ]


@pytest.mark.parametrize(
    "later_event",
    [
        event(at=-2, host="host-1", **STEP),  # init_host repeats it
        event(at=-20, **END | {"step": "compute_prep_resize"}),  # its part is done, another host continues
        event(at=-20, host="host-2", **STEP),  # another host reports the step
    ],
    ids=["repeated", "handed over", "on another host"],
)
def test_work_that_continues_after_a_restart_is_not_interrupted(writer, later_event):
    prep = {**STEP, "step": "compute_prep_resize"} if later_event["step"] == "compute_prep_resize" else STEP
    writer.write(
        [event(at=-60, action="resize"), event(at=-59, action="resize", **prep), {**later_event, "action": "resize"}]
    )
    assert decide(writer, find_interrupted(writer)) == []
    assert outcomes(writer) == ["IN_PROGRESS"]


def find_resumed(writer, host="host-1"):
    return find.received_again(writer.connection, [(writer.partition_of(event()), host)], effective_deadlines({}))


def test_request_stalled_by_a_silent_host_resumes_when_the_host_reports(writer):
    writer.write([event(at=-60, action="live-migration")])
    partition = writer.partition_of(event())
    decide(writer, find.on_dead_hosts(writer.connection, {(partition, "host-1"): NOW_US}))
    assert outcomes(writer) == ["STALLED"]
    assert find_resumed(writer, "host-2") == []
    findings = find_resumed(writer)
    assert decide(writer, findings) == findings
    assert outcomes(writer) == ["IN_PROGRESS"]
    assert writer.rows("select reason, evidence, finished_at from requests") == [(None, None, None)]
    assert published(writer) == [(1, "STALLED"), (2, "IN_PROGRESS")]
    assert find_resumed(writer) == []
    assert decide(writer, findings) == []
    decide(writer, find.on_dead_hosts(writer.connection, {(partition, "host-1"): NOW_US}))
    assert outcomes(writer) == ["STALLED"]
    assert counted(writer) == {"requests/STALLED": 2, "requests_withdrawn/STALLED": 1}


def test_overdue_request_stays_stalled_when_its_host_reports(writer):
    writer.write([event(at=-2 * HOUR)])
    decide(writer, find.on_dead_hosts(writer.connection, {(writer.partition_of(event()), "host-1"): NOW_US}))
    assert find_resumed(writer) == []


def test_decisions_expire_with_their_requests(writer):
    stall(writer, event(at=-2 * HOUR))
    writer.connection.execute("update decisions set decided_at = decided_at - interval '500 days'")
    statement, old = query("expire_decisions"), {"days": 400, "chunk": 10}
    assert writer.connection.execute(statement, old).rowcount == 0
    writer.connection.execute("delete from requests")
    assert writer.connection.execute(statement, old).rowcount == 1


@pytest.mark.parametrize("seed", range(6))
def test_events_and_decisions_in_any_order_give_the_outcome_of_the_events(writer, store_url, seed):
    """Three requests with shuffled events; between the events the clock decides on some of the overdue requests."""
    rng = random.Random(seed)
    request_ids = ("req-1", "req-2", "req-3")
    events = [event(at=-5 * HOUR + n, request_id=name) for n, name in enumerate(request_ids)]
    events += [event(at=-4 * HOUR + n, request_id=name, **STEP) for n, name in enumerate(request_ids)]
    events += [event(at=-3 * HOUR + n, request_id=name, **END) for n, name in enumerate(request_ids[:2])]
    arriving = events + rng.sample(events, 3)
    rng.shuffle(arriving)
    for step, one in enumerate(arriving):
        writer.write([one])
        age_requests(writer)
        decide(writer, rng.sample(findings := overdue(writer), rng.randint(0, len(findings))), NOW_US + step)
    decide(writer, overdue(writer), NOW_US + len(arriving))
    assert sorted(outcomes(writer)) == ["STALLED", "SUCCEEDED", "SUCCEEDED"]
    net = counted(writer)
    assert net["requests/STALLED"] - net.get("requests_withdrawn/STALLED", 0) == 1
    assert net["requests/SUCCEEDED"] - net.get("requests_withdrawn/SUCCEEDED", 0) == 2
    assert "open/stop" not in net
    last = event(at=-2 * HOUR, request_id="req-3", **END)
    writer.write([last])
    assert differences(store_url, [*events, last]) == []
