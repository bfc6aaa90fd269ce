"""The clock of projectors as processes, with a real broker and store: which requests stall, and what ends that."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid

import pytest

from stumble.store.connect import connect
from stumble.testing.events import event
from tests.integration.projector.relays import Relays, now_us
from tests.support.projection import differences, eventually

pytestmark = pytest.mark.timeout(600)

#: A deadline of three seconds, and a host counts as dead after five; the defaults are hours and minutes.
QUICK = {
    "STUMBLE_CLOCK__DEADLINES__STOP": "3s",
    "STUMBLE_CLOCK__SILENT_AFTER": "5s",
    "STUMBLE_CLOCK__SETTLE": "1s",
    "STUMBLE_CLOCK__CHECK_INTERVAL": "0.3s",
    "STUMBLE_CLOCK__STARTUP_TIME": "1s",
    "STUMBLE_CLOCK__RESTART_CONFIRMATION": "1s",
}
END = {"signal": "event_finish", "phase": "END", "step": "compute_stop_instance", "scope": "STEP"}


@pytest.fixture
def relays(testbed):
    created = Relays(testbed, "host-1", "host-2", "host-3")
    yield created
    created.close()


def now_event(number, **fields):
    instance = str(uuid.UUID(int=number + 1, version=4))
    return event(instance_uuid=instance, request_id=f"req-{number}", **fields) | {
        "occurred_at": now_us(),
        "emitted_at": now_us(),
    }


def outcomes(testbed):
    with connect(testbed.url) as session:
        return dict(session.execute("select request_id, outcome from requests").fetchall())


def evidence(testbed, request_id):
    with connect(testbed.url) as session:
        row = session.execute("select evidence from requests where request_id = %s", [request_id]).fetchone()
    assert row is not None
    return row[0]


def ever_published(testbed):
    with connect(testbed.url) as session:
        rows = session.execute("select payload->>'request_id', payload->>'outcome' from publications").fetchall()
    return {tuple(row) for row in rows}


def wait_for_outcomes(testbed, expected, seconds=90.0):
    def differing():
        current = outcomes(testbed)
        return {request: current.get(request) for request in expected if current.get(request) != expected[request]}

    eventually(differing, seconds)


def counted(testbed):
    """Return counted minus withdrawn requests by outcome."""
    statement = (
        "select labels[2], sum(case when metric = 'requests' then value else -value end)::int from counters "
        "where metric in ('requests', 'requests_withdrawn') group by 1"
    )
    with connect(testbed.url) as session:
        return {outcome: value for outcome, value in session.execute(statement) if value}


def test_silent_request_stalls_once_despite_killed_projectors_until_an_event_arrives(testbed, relays):
    # No host counts as dead here, however late its reports arrive.
    quick = QUICK | {"STUMBLE_CLOCK__SILENT_AFTER": "120s"}
    processes = [testbed.start(**quick) for _ in range(2)]
    long_request = now_event(40, action="live-migration")
    testbed.produce([long_request])
    eventually(lambda: "" if outcomes(testbed) else "nothing is read")
    rng, events = random.Random(3), []
    for number in range(40):  # so that requests become overdue continuously
        events.append(now_event(number))
        testbed.produce(events[-1:])
        time.sleep(0.15)
        if number in {28, 36}:  # the clock is deciding on the first requests now
            time.sleep(rng.uniform(0, 0.3))
            processes[number == 36].kill()
            processes[number == 36].wait()
            processes[number == 36] = testbed.start(**quick)
    wait_for_outcomes(testbed, {f"req-{number}": "STALLED" for number in range(40)} | {"req-40": "IN_PROGRESS"})
    assert outcomes(testbed)["req-40"] == "IN_PROGRESS"
    assert counted(testbed) == {"STALLED": 40}
    assert "longer than 3 seconds" in evidence(testbed, "req-0")
    with connect(testbed.url) as session:
        assert session.execute("select count(*), count(distinct request_key) from decisions").fetchone() == (40, 40)
    late = [{**one, **now_event(number, **END)} for number, one in enumerate(events)]
    testbed.produce(late)
    testbed.wait_until_stored([*events, long_request, *late])
    assert counted(testbed) == {"SUCCEEDED": 40}


def test_only_requests_of_a_dead_host_stall_and_resume_when_it_reports(testbed, relays):
    testbed.start(**QUICK)
    testbed.produce([now_event(n, host=f"host-{n}", action="live-migration") for n in (1, 2, 3)])
    eventually(lambda: "" if len(outcomes(testbed)) == 3 else "not all are there")
    relays.reporting.discard("host-2")
    wait_for_outcomes(testbed, {"req-1": "IN_PROGRESS", "req-2": "STALLED", "req-3": "IN_PROGRESS"})
    assert evidence(testbed, "req-2").startswith("no reports from host-2 since ")
    relays.reporting.add("host-2")  # it reports again, without an event of the request, which is waited for again
    wait_for_outcomes(testbed, dict.fromkeys(("req-1", "req-2", "req-3"), "IN_PROGRESS"))


def test_nothing_stalls_while_all_hosts_are_silent_or_no_projector_runs(testbed, relays):
    long_deadline = QUICK | {"STUMBLE_CLOCK__DEADLINES__STOP": "6s"}  # the hosts must be silent before the deadline
    first = testbed.start(**long_deadline)
    events = [now_event(number, host=f"host-{number % 3 + 1}") for number in range(9)]
    testbed.produce(events)
    eventually(lambda: "" if len(outcomes(testbed)) == 9 else "not all are there")
    relays.reporting.clear()  # longer than a deadline, and longer than a single host may be silent
    time.sleep(7)
    os.kill(first.pid, signal.SIGKILL)
    time.sleep(6.5)  # no projector runs for longer than a deadline
    ends = [{**one, **now_event(number, host=one["host"], **END)} for number, one in enumerate(events)]
    testbed.produce(ends)
    testbed.start(**long_deadline)
    relays.reporting.update(("host-1", "host-2", "host-3"))
    testbed.wait_until_stored([*events, *ends])
    assert {outcome for _, outcome in ever_published(testbed)} == {"SUCCEEDED"}
    assert differences(testbed.url, [*events, *ends]) == []


def test_work_in_progress_fails_when_its_compute_restarts(testbed, relays):
    testbed.start(**QUICK)
    step_start = {"signal": "event_start", "scope": "STEP", "action": "suspend"}
    relays.process("host-1", "nova-compute-1", started_at=now_us() - 60_000_000, ready_at=now_us() - 59_000_000)
    testbed.produce(
        [
            now_event(1, host="host-1", step="compute_suspend_instance", **step_start),
            now_event(2, host="host-1", step="compute_suspend_instance", **step_start),
            now_event(3, host="host-2", step="compute_suspend_instance", **step_start),
        ]
    )
    eventually(lambda: "" if len(outcomes(testbed)) == 3 else "not all are there")
    relays.process("host-1", "nova-compute-1", started_at=now_us() - 60_000_000, alive=False)
    start = now_us()
    relays.process("host-1", "nova-compute-2", started_at=start, starting=True)
    testbed.produce(
        [now_event(2, host="host-1", step="compute_suspend_instance", **step_start)]
    )  # it repeats this step
    relays.process("host-1", "nova-compute-2", started_at=start, ready_at=now_us())
    wait_for_outcomes(testbed, {"req-1": "FAILED", "req-2": "IN_PROGRESS", "req-3": "IN_PROGRESS"})
    with connect(testbed.url) as session:
        failed = session.execute("select request_id, host, exception, blame from failures").fetchall()
    assert failed == [("req-1", "host-1", "InterruptedByRestart", "OPERATOR")]
    assert evidence(testbed, "req-1").startswith("nova-compute on host-1 restarted at ")
