"""Dead letters through the commands: sent again as they were, once, and never lost."""

from __future__ import annotations

import json

import pytest

from stumble.deadletters.producer import FIRST_SEEN, REPLAYS, DeadLetterProducer
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.store.connect import connect
from stumble.testing.events import NOW_US, event, framed
from stumble.testing.in_memory import InMemoryRecord
from tests.support.command import stumble
from tests.support.dead_letters import records, told
from tests.support.projection import World, eventually, refuse_cursed

pytestmark = pytest.mark.timeout(600)
OLD_MS = NOW_US // 1000 - 86_400_000
KEY = b"11111111-1111-4111-8111-111111111111"


def from_topic(world: World, value: bytes, offset: int) -> InMemoryRecord:
    """Return a record of this world's topic, as if the projector had read it."""
    return InMemoryRecord(value, offset % world.partitions, offset, world.topic, [("ce_id", b"%d" % offset)], KEY)


def put(world: World, values: list[bytes], stage: str = "store") -> None:
    """Lay records in the dead letter topic that never were in the topic: only a re-drive brings them there."""
    records = [from_topic(world, value, offset) for offset, value in enumerate(values)]
    bad = [
        BadRecord(one, one.partition(), one.offset(), BadRecordError(stage, ValueError("refused then")))
        for one in records
    ]
    assert DeadLetterProducer(world.settings, "test").send(bad) == {}


def listed(world: World, *words: str) -> list[dict]:
    return json.loads(told(world, "ls", "--format", "json", "--limit", "5000", *words))["items"]


def test_what_the_store_refused_is_taken_in_later_byte_for_byte(world):
    with connect(world.url) as session:
        refuse_cursed(session)
        good = [event(request_id=f"req-{number}") for number in range(3)]
        cursed = [event(host="cursed", request_id=f"cursed-{number}", action="reboot") for number in range(2)]
        own = [("ce_id", b"mine"), ("twice", b"1"), ("twice", None), ("bytes", b"\xff\x00")]
        world.start()
        for one in (good[0], cursed[0], good[1], cursed[1], good[2]):
            world.send(framed(one), KEY, headers=own, timestamp=OLD_MS)
        world.send(b"junk", KEY, headers=own, timestamp=OLD_MS)
        world.flush()
        eventually(lambda: "" if len(listed(world)) == 3 else "not all are dead")
        world.settle(good)
        session.execute("drop trigger refuse on requests")
    before = records(world, world.topic)

    by_action = listed(world, "--action", "reboot", "--stage", "store")
    assert [item["event_id"] for item in by_action] == [one["event_id"] for one in cursed]
    assert {item["outlook"] for item in by_action} == {"AGAIN"}
    assert [item["stage"] for item in listed(world, "--exception", "NotAvro", "--reason", "FRAMING")] == ["decode"]
    assert listed(world, "--until", "1h") == []
    assert listed(world, "--partition", str(by_action[0]["origin"]["partition"] + 1)) == []

    dry = told(world, "redrive", "--dry-run", "--readable")
    assert dry.count("would send to") == 2
    assert "still can't be read" in dry
    assert "Outlook: 2 again." in dry
    assert len(records(world, world.topic)) == len(before), "a dry run sends nothing"

    assert "2 sent again, 1 skipped" in told(world, "redrive", "--readable")
    world.settle([*good, *cursed])
    after = records(world, world.topic)
    again = [one for one in after if REPLAYS in dict(one.headers())]
    first = {one.value(): one for one in before}
    assert {one.value() for one in again} == {framed(one) for one in cursed}
    for one in again:
        was = first[one.value()]
        assert (one.key(), one.partition(), one.timestamp()) == (was.key(), was.partition(), was.timestamp())
        assert one.headers()[:4] == own
        assert [name for name, _ in one.headers()[4:]] == [FIRST_SEEN, REPLAYS]
        assert dict(one.headers())[REPLAYS] == b"1"

    assert "0 sent again, 3 skipped" in told(world, "redrive", "--readable"), "what was sent is remembered"
    assert {item["state"] for item in listed(world, "--stage", "store")} == {"REDRIVEN"}
    assert {item["outlook"] for item in listed(world, "--stage", "store")} == {"KNOWN"}
    assert "2 sent again" in told(world, "redrive", "--stage", "store", "--again")
    world.settle([*good, *cursed])


def hold_up(session, marked: int) -> None:
    """Let re-drives stand still, with a chunk sent that no mark tells of, once so many letters are marked."""
    session.execute(
        "create function wait() returns trigger language plpgsql as $$ begin"
        f" if (select count(*) from redrive_counts) >= {marked} then perform pg_sleep(120); end if; return null; end $$"
    )
    session.execute("create trigger wait before insert on redrive_counts for each statement execute function wait()")


def let_go(session) -> None:
    """End the sessions of re-drives that were killed, and hold up no more."""
    session.execute(
        "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
        " where application_name = 'stumble-dlq' and datname = current_database()"  # the server is other tests' too
    )
    session.execute("drop function wait cascade")


def test_kill_9_in_the_middle_of_a_redrive_loses_nothing_and_counts_nothing_twice(world):
    events = [event(request_id=f"req-{number}", at=number / 1000) for number in range(3000)]
    put(world, [framed(one) for one in events])
    world.start()
    with connect(world.url) as session:
        hold_up(session, 0)
        process = world.start("dlq", "redrive")
        eventually(lambda: "" if len(records(world, world.topic)) else "nothing is sent")
        process.kill()  # the broker has records that no mark tells of
        process.wait()
        let_go(session)

        hold_up(session, 600)
        count = "select count(*), coalesce(max(redrives), 0) from redrive_counts"
        process = world.start("dlq", "redrive")
        eventually(lambda: "" if session.execute(count).fetchone()[0] >= 600 else "none is sent")
        process.kill()
        process.wait()
        let_go(session)
        assert session.execute(count).fetchone()[0] < len(events), "it was still at it"
        rest = told(world, "redrive")
        assert session.execute(count).fetchone() == (len(events), 1)
    assert int(rest.split()[0]) <= len(events) - 600, "it went on where it was"
    assert "0 sent again, 3000 skipped" in told(world, "redrive")
    world.settle(events)
    assert len(events) < len(records(world, world.topic)) <= len(events) + 2 * 200, "a chunk may be sent twice, no more"


def test_what_comes_back_again_and_again_parks(world):
    world.start()
    world.send(b"junk", KEY)
    world.flush()
    for replay in range(3):
        eventually(lambda replay=replay: "" if len(listed(world, "--state", "waiting")) == 1 else f"not back: {replay}")
        (item,) = listed(world, "--state", "WAITING")
        assert item["replays"] == replay
        assert "1 sent again" in told(world, "redrive")
    eventually(lambda: "" if listed(world, "--state", "PARKED") else "not parked")
    (parked,) = listed(world, "--state", "PARKED")
    assert parked["replays"] == 3
    assert parked["first_seen"] == listed(world)[0]["first_seen"]
    assert "0 sent again" in told(world, "redrive")
    assert "is parked" in told(world, "redrive", "--dry-run", "--state", "PARKED")
    assert "1 sent again" in told(world, "redrive", "--state", "PARKED", "--force")
    eventually(lambda: "" if len(listed(world)) == 5 else "not back")
    stats = json.loads(told(world, "stats", "--format", "json"))
    assert stats["total"]["states"] == {"REDRIVEN": 4, "PARKED": 1}
    (reason,) = stats["reasons"]
    assert (reason["stage"], reason["exception"], reason["count"]) == ("decode", "NotAvro", 5)


def test_what_is_not_the_projectors_is_left_alone(world):
    put(world, [framed(event())])
    producer = DeadLetterProducer(world.settings, "test")
    foreign = InMemoryRecord(framed(event()), 0, 0)  # from instance-actions without this world's prefix
    assert producer.send([BadRecord(foreign, 0, 0, BadRecordError("decode", ValueError("x")))]) == {}
    assert [item["state"] for item in listed(world)] == ["WAITING", "FOREIGN"]
    assert "1 sent again, 1 skipped" in told(world, "redrive", "--force", "--again")
    exported = [json.loads(line) for line in told(world, "export").splitlines()]
    assert len(exported) == 2
    assert exported[0]["headers"] == [{"name": "ce_id", "text": "0", "base64": "MA=="}]
    shown = told(world, "show", "0:1")
    assert "instance-actions" in shown
    assert "holds nothing at 0:9" in stumble("dlq", "show", "0:9", **world.environment()).stderr
