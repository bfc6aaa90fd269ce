"""Too many bad records: the partition waits and says why; nothing is dropped, the others go on."""

from __future__ import annotations

import re

import pytest

from stumble.local.ports import free_port
from stumble.store.connect import connect
from stumble.testing.events import event, framed
from tests.support.asking import get
from tests.support.command import stumble
from tests.support.dead_letters import records, told
from tests.support.projection import eventually, refuse_cursed

pytestmark = pytest.mark.timeout(600)
KEY = b"11111111-1111-4111-8111-111111111111"


def test_a_run_of_junk_waits_for_a_person_and_the_rest_goes_on(world):
    good = [event(request_id=f"req-{number}") for number in range(6)]
    other = [event(request_id="req-o", instance_uuid=f"{n:08x}-1111-4111-8111-111111111111") for n in range(40)]
    for one in good[:3]:
        world.send(framed(one), KEY)
    for number in range(12):
        world.send(b"junk %d" % number, KEY)
    for one in good[3:]:
        world.send(framed(one), KEY)
    world.produce(other)
    port = str(free_port())
    run = {"STUMBLE_PROJECTOR_BREAKER_RUN": "5"}
    process = world.start("projector", "--metrics-port", port, **run)
    eventually(lambda: "" if "5 records in a row can't be read" in world.said(process) else "not said")
    assert len(records(world, world.settings.topics.dlq)) == 5
    partition = re.search(r"let-through --partition (\d+)", world.said(process))[1]
    with connect(world.url) as session:
        count = "select count(*) from offsets where next_offset > 0"
        eventually(lambda: "" if session.execute(count).fetchone() == (world.partitions,) else "others wait")
    metrics = get(f"http://127.0.0.1:{port}/metrics").text
    assert "stumble_projector_blocked_partitions 1.0" in metrics
    assert 'bad_records_total{stage="decode"} 5.0' in metrics
    assert 'bad_records_total{stage="derive"} 0.0' in metrics, "there before the first"
    assert "stumble_dead_letter_records" in metrics
    assert process.poll() is None
    process.kill()  # it holds them back after a restart too: at most as many again go
    process.wait()
    again = world.start(**run)
    eventually(lambda: "" if "in a row can't be read" in world.said(again) else "not said")
    assert len(records(world, world.settings.topics.dlq)) == 10
    letting = ["dlq", "let-through", "--partition", partition]
    assert "would go" in stumble(*letting, "--dry-run", **world.environment()).stdout
    done = stumble(*letting, **world.environment())
    assert done.returncode == 0, done.stderr
    world.settle([*good, *other])
    assert len(records(world, world.settings.topics.dlq)) == 12
    assert "is read again" in world.said(again)


def test_what_the_store_refuses_one_after_the_other_goes_on_by_itself_when_it_is_mended(world):
    with connect(world.url) as session:
        refuse_cursed(session)
        good = [event(request_id=f"req-{number}") for number in range(4)]
        cursed = [event(host="cursed", request_id=f"cursed-{number}") for number in range(8)]
        world.produce([*good[:2], *cursed, *good[2:]])
        process = world.start(STUMBLE_PROJECTOR_BREAKER_RUN="3")
        eventually(lambda: "" if "3 records in a row can't be stored" in world.said(process) else "not said")
        assert len(records(world, world.settings.topics.dlq)) == 3
        session.execute("drop trigger refuse on requests")
    eventually(world.behind)
    assert "3 sent again" in told(world, "redrive")
    world.settle([*good, *cursed])
    assert process.poll() is None
