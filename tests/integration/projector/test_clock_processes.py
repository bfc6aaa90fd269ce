"""The clock of projectors as processes, over a real broker and store: what stalls, what doesn't, what outranks it."""

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

#: A deadline is three seconds here, a host counts as dead after five: hours and minutes elsewhere.
QUICK = {
    "STUMBLE_CLOCK__DEADLINES__STOP": "3s",
    "STUMBLE_CLOCK__SILENT_AFTER": "5s",
    "STUMBLE_CLOCK__SETTLE": "1s",
    "STUMBLE_CLOCK__LOOK_EVERY": "0.3s",
    "STUMBLE_CLOCK__START_TAKES": "1s",
}
END = {"signal": "event_finish", "phase": "END", "step": "compute_stop_instance", "scope": "STEP"}


@pytest.fixture
def relays(world):
    made = Relays(world, "host-1", "host-2", "host-3")
    yield made
    made.close()


def now_event(number, **fields):
    instance = str(uuid.UUID(int=number + 1, version=4))
    return event(instance_uuid=instance, request_id=f"req-{number}", **fields) | {
        "occurred_at": now_us(),
        "emitted_at": now_us(),
    }


def outcomes(world):
    with connect(world.url) as session:
        return dict(session.execute("select request_id, outcome from requests").fetchall())


def evidence(world, request_id):
    with connect(world.url) as session:
        return session.execute("select evidence from requests where request_id = %s", [request_id]).fetchone()[0]


def ever_published(world):
    with connect(world.url) as session:
        rows = session.execute("select payload->>'request_id', payload->>'outcome' from publications").fetchall()
    return {tuple(row) for row in rows}


def until(world, wanted, seconds=90.0):
    def wrong():
        found = outcomes(world)
        return {request: found.get(request) for request in wanted if found.get(request) != wanted[request]}

    eventually(wrong, seconds)


def counted(world):
    """What is counted less what was withdrawn, by outcome."""
    statement = (
        "select labels[2], sum(case when metric = 'requests' then value else -value end)::int from counters "
        "where metric in ('requests', 'requests_withdrawn') group by 1"
    )
    with connect(world.url) as session:
        return {outcome: value for outcome, value in session.execute(statement) if value}


def test_what_is_silent_stalls_once_with_two_projectors_that_are_killed_and_news_resolves_it(world, relays):
    # No host dies here, however late it is heard.
    quick = QUICK | {"STUMBLE_CLOCK__SILENT_AFTER": "120s"}
    processes = [world.start(**quick) for _ in range(2)]
    long = now_event(40, action="live-migration")
    world.produce([long])
    eventually(lambda: "" if outcomes(world) else "nothing is read")
    rng, events = random.Random(3), []
    for number in range(40):  # so that something becomes due all the time
        events.append(now_event(number))
        world.produce(events[-1:])
        time.sleep(0.15)
        if number in {28, 36}:  # the first are being decided upon by now
            time.sleep(rng.uniform(0, 0.3))
            processes[number == 36].kill()
            processes[number == 36].wait()
            processes[number == 36] = world.start(**quick)
    until(world, {f"req-{number}": "STALLED" for number in range(40)} | {"req-40": "IN_PROGRESS"})
    assert outcomes(world)["req-40"] == "IN_PROGRESS"
    assert counted(world) == {"STALLED": 40}
    assert "silent for longer than 3 seconds" in evidence(world, "req-0")
    with connect(world.url) as session:
        assert session.execute("select count(*), count(distinct request_key) from decisions").fetchone() == (40, 40)
    late = [{**one, **now_event(number, **END)} for number, one in enumerate(events)]
    world.produce(late)
    world.settle([*events, long, *late])
    assert counted(world) == {"SUCCEEDED": 40}


def test_one_host_dead_for_good_stalls_and_the_others_do_not(world, relays):
    world.start(**QUICK)
    world.produce([now_event(n, host=f"host-{n}", action="live-migration") for n in (1, 2, 3)])
    eventually(lambda: "" if len(outcomes(world)) == 3 else "not all are there")
    relays.speaking.discard("host-2")
    until(world, {"req-1": "IN_PROGRESS", "req-2": "STALLED", "req-3": "IN_PROGRESS"})
    assert evidence(world, "req-2").startswith("no news from host-2 since ")
    relays.speaking.add("host-2")  # it is heard again and has nothing to say of the request: that is waited for again
    until(world, dict.fromkeys(("req-1", "req-2", "req-3"), "IN_PROGRESS"))


def test_nothing_stalls_while_the_whole_fleet_is_silent_or_no_projector_runs(world, relays):
    patient = QUICK | {"STUMBLE_CLOCK__DEADLINES__STOP": "6s"}  # they must be silent before it is over
    first = world.start(**patient)
    events = [now_event(number, host=f"host-{number % 3 + 1}") for number in range(9)]
    world.produce(events)
    eventually(lambda: "" if len(outcomes(world)) == 9 else "not all are there")
    relays.speaking.clear()  # more than a deadline, and more than makes one host count as dead
    time.sleep(7)
    os.kill(first.pid, signal.SIGKILL)
    time.sleep(6.5)  # and no projector for more than a deadline
    ends = [{**one, **now_event(number, host=one["host"], **END)} for number, one in enumerate(events)]
    world.produce(ends)
    world.start(**patient)
    relays.speaking.update(("host-1", "host-2", "host-3"))
    world.settle([*events, *ends])
    assert {outcome for _, outcome in ever_published(world)} == {"SUCCEEDED"}
    assert differences(world.url, [*events, *ends]) == []


def test_work_in_flight_has_failed_when_its_compute_starts_anew(world, relays):
    world.start(**QUICK)
    began = {"signal": "event_start", "scope": "STEP", "action": "suspend"}
    relays.process("host-1", "nova-compute-1", started_at=now_us() - 60_000_000, ready_at=now_us() - 59_000_000)
    world.produce(
        [
            now_event(1, host="host-1", step="compute_suspend_instance", **began),
            now_event(2, host="host-1", step="compute_suspend_instance", **began),
            now_event(3, host="host-2", step="compute_suspend_instance", **began),
        ]
    )
    eventually(lambda: "" if len(outcomes(world)) == 3 else "not all are there")
    relays.process("host-1", "nova-compute-1", started_at=now_us() - 60_000_000, alive=False)
    start = now_us()
    relays.process("host-1", "nova-compute-2", started_at=start, starting=True)
    world.produce([now_event(2, host="host-1", step="compute_suspend_instance", **began)])  # it takes this one up again
    relays.process("host-1", "nova-compute-2", started_at=start, ready_at=now_us())
    until(world, {"req-1": "FAILED", "req-2": "IN_PROGRESS", "req-3": "IN_PROGRESS"})
    with connect(world.url) as session:
        failed = session.execute("select request_id, host, exception, blame from failures").fetchall()
    assert failed == [("req-1", "host-1", "InterruptedByRestart", "OPERATOR")]
    assert evidence(world, "req-1").startswith("nova-compute on host-1 started anew at ")
