"""Too many bad records: the partition stops with a reason, nothing is dropped, other partitions continue."""

from __future__ import annotations

import re

import pytest

from stumble.local.ports import free_port
from stumble.store.connect import connect
from stumble.testing.events import event, framed
from tests.support.asking import get
from tests.support.command import stumble
from tests.support.dead_letters import records, run_dlq
from tests.support.projection import eventually, reject_bad_host

pytestmark = pytest.mark.timeout(600)
KEY = b"11111111-1111-4111-8111-111111111111"


def test_partition_with_a_run_of_bad_records_stops_until_they_are_let_through(testbed):
    good = [event(request_id=f"req-{number}") for number in range(6)]
    other = [event(request_id="req-o", instance_uuid=f"{n:08x}-1111-4111-8111-111111111111") for n in range(40)]
    for one in good[:3]:
        testbed.send(framed(one), KEY)
    for number in range(12):
        testbed.send(b"junk %d" % number, KEY)
    for one in good[3:]:
        testbed.send(framed(one), KEY)
    testbed.produce(other)
    port = str(free_port())
    run = {"STUMBLE_PROJECTOR_BREAKER_RUN": "5"}
    process = testbed.start("projector", "--metrics-port", port, **run)
    eventually(lambda: "" if "5 records in a row cannot be read" in testbed.log_of(process) else "not said")
    assert len(records(testbed, testbed.settings.topics.dlq)) == 5
    advice = re.search(r"let-through --partition (\d+)", testbed.log_of(process))
    assert advice is not None
    partition = advice[1]
    with connect(testbed.url) as session:
        count = "select count(*) from offsets where next_offset > 0"
        eventually(lambda: "" if session.execute(count).fetchone() == (testbed.partitions,) else "others wait")
    metrics = get(f"http://127.0.0.1:{port}/metrics").text
    assert "stumble_projector_blocked_partitions 1.0" in metrics
    assert 'bad_records_total{stage="decode"} 5.0' in metrics
    assert 'bad_records_total{stage="derive"} 0.0' in metrics, "there before the first"
    assert "stumble_dead_letter_records" in metrics
    assert process.poll() is None
    process.kill()  # after a restart it stops again, after at most as many further dead letters
    process.wait()
    restarted = testbed.start(**run)
    eventually(lambda: "" if "in a row cannot be read" in testbed.log_of(restarted) else "not said")
    assert len(records(testbed, testbed.settings.topics.dlq)) == 10
    let_through = ["dlq", "let-through", "--partition", partition]
    assert "would go" in stumble(*let_through, "--dry-run", **testbed.environment()).stdout
    done = stumble(*let_through, **testbed.environment())
    assert done.returncode == 0, done.stderr
    testbed.wait_until_stored([*good, *other])
    assert len(records(testbed, testbed.settings.topics.dlq)) == 12
    assert "is read again" in testbed.log_of(restarted)


def test_redriven_unreadable_records_stop_no_partition(testbed):
    dead_letters = testbed.settings.topics.dlq
    for number in range(12):
        testbed.send(b"junk %d" % number, KEY)
        if number % 4 == 3:
            testbed.send(framed(event(request_id=f"req-{number}")), KEY)
    process = testbed.start(STUMBLE_PROJECTOR_BREAKER_RUN="5")
    eventually(lambda: "" if len(records(testbed, dead_letters)) == 12 else "not all are dead")
    assert "12 sent again" in run_dlq(testbed, "redrive", "--unreadable")
    eventually(lambda: "" if len(records(testbed, dead_letters)) == 24 else "not all came back")
    last = event(request_id="req-last")
    testbed.send(framed(last), KEY)
    testbed.flush()
    eventually(testbed.lag)
    assert "in a row" not in testbed.log_of(process)


def test_partition_resumes_by_itself_when_the_store_accepts_its_records(testbed):
    with connect(testbed.url) as session:
        reject_bad_host(session)
        good = [event(request_id=f"req-{number}") for number in range(4)]
        rejected = [event(host="bad-host", request_id=f"rejected-{number}") for number in range(8)]
        testbed.produce([*good[:2], *rejected, *good[2:]])
        process = testbed.start(STUMBLE_PROJECTOR_BREAKER_RUN="3")
        eventually(lambda: "" if "3 records in a row cannot be stored" in testbed.log_of(process) else "not said")
        assert len(records(testbed, testbed.settings.topics.dlq)) == 3
        session.execute("drop trigger refuse on requests")
    eventually(testbed.lag)
    assert "3 sent again" in run_dlq(testbed, "redrive")
    testbed.wait_until_stored([*good, *rejected])
    assert process.poll() is None
