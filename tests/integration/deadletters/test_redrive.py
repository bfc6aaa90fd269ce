"""Redrive of dead letters with the commands: each is sent again unchanged, once, and none is lost."""

from __future__ import annotations

import json
from functools import partial

import pytest

from stumble.deadletters.producer import FIRST_SEEN, REPLAYS, DeadLetterProducer
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.store.connect import connect
from stumble.testing.events import NOW_US, event, framed
from stumble.testing.in_memory import InMemoryRecord
from tests.support.command import stumble
from tests.support.dead_letters import records, run_dlq
from tests.support.projection import ProjectorTestbed, eventually, reject_bad_host

pytestmark = pytest.mark.timeout(600)
OLD_MS = NOW_US // 1000 - 86_400_000
KEY = b"11111111-1111-4111-8111-111111111111"


def from_topic(testbed: ProjectorTestbed, value: bytes, offset: int) -> InMemoryRecord:
    """Return a record of the testbed's topic, as if the projector had read it."""
    return InMemoryRecord(value, offset % testbed.partitions, offset, testbed.topic, [("ce_id", b"%d" % offset)], KEY)


def write_dead_letters(testbed: ProjectorTestbed, values: list[bytes], stage: str = "store") -> None:
    """Write records to the dead-letter topic that were never in the topic: only a redrive sends them there."""
    records = [from_topic(testbed, value, offset) for offset, value in enumerate(values)]
    bad = [
        BadRecord(one, one.partition(), one.offset(), BadRecordError(stage, ValueError("refused then")))
        for one in records
    ]
    assert DeadLetterProducer(testbed.settings, "test").send(bad) == {}


def list_dead_letters(testbed: ProjectorTestbed, *words: str) -> list[dict]:
    return json.loads(run_dlq(testbed, "ls", "--format", "json", "--limit", "5000", *words))["items"]


def test_redriven_records_are_unchanged_and_stored_when_the_store_accepts_them(testbed):
    with connect(testbed.url) as session:
        reject_bad_host(session)
        good = [event(request_id=f"req-{number}") for number in range(3)]
        rejected = [event(host="bad-host", request_id=f"rejected-{number}", action="reboot") for number in range(2)]
        own_headers = [("ce_id", b"mine"), ("twice", b"1"), ("twice", None), ("bytes", b"\xff\x00")]
        testbed.start()
        for one in (good[0], rejected[0], good[1], rejected[1], good[2]):
            testbed.send(framed(one), KEY, headers=own_headers, timestamp=OLD_MS)
        testbed.send(b"junk", KEY, headers=own_headers, timestamp=OLD_MS)
        testbed.flush()
        eventually(lambda: "" if len(list_dead_letters(testbed)) == 3 else "not all are dead")
        testbed.wait_until_stored(good)
        session.execute("drop trigger refuse on requests")
    before = records(testbed, testbed.topic)

    by_action = list_dead_letters(testbed, "--action", "reboot", "--stage", "store")
    assert [item["event_id"] for item in by_action] == [one["event_id"] for one in rejected]
    assert {item["outlook"] for item in by_action} == {"AGAIN"}
    assert [item["stage"] for item in list_dead_letters(testbed, "--exception", "NotAvro", "--reason", "FRAMING")] == [
        "decode"
    ]
    assert list_dead_letters(testbed, "--until", "1h") == []
    assert list_dead_letters(testbed, "--partition", str(by_action[0]["origin"]["partition"] + 1)) == []

    dry = run_dlq(testbed, "redrive", "--dry-run")
    assert dry.count("would send to") == 2
    assert "still cannot be decoded" in dry
    assert "Outlook: 2 again." in dry
    assert len(records(testbed, testbed.topic)) == len(before), "a dry run sends nothing"

    assert "2 sent again, 1 skipped" in run_dlq(testbed, "redrive")
    testbed.wait_until_stored([*good, *rejected])
    after = records(testbed, testbed.topic)
    redriven = [one for one in after if REPLAYS in dict(one.headers())]
    first = {one.value(): one for one in before}
    assert {one.value() for one in redriven} == {framed(one) for one in rejected}
    for one in redriven:
        original = first[one.value()]
        assert (one.key(), one.partition()) == (original.key(), original.partition())
        assert one.headers()[:4] == own_headers
        assert [name for name, _ in one.headers()[4:]] == [FIRST_SEEN, REPLAYS]
        assert dict(one.headers())[REPLAYS] == b"1"

    assert "0 sent again, 3 skipped" in run_dlq(testbed, "redrive"), "what was sent is remembered"
    assert {item["state"] for item in list_dead_letters(testbed, "--stage", "store")} == {"REDRIVEN"}
    assert {item["outlook"] for item in list_dead_letters(testbed, "--stage", "store")} == {"KNOWN"}
    assert "2 sent again" in run_dlq(testbed, "redrive", "--stage", "store", "--again")
    testbed.wait_until_stored([*good, *rejected])


def block_redrives(session, marked: int) -> None:
    """Block redrives after `marked` marked letters, when the next chunk is sent but not yet marked."""
    session.execute(
        "create function wait() returns trigger language plpgsql as $$ begin"
        f" if (select count(*) from redrive_counts) >= {marked} then perform pg_sleep(120); end if; return null; end $$"
    )
    session.execute("create trigger wait before insert on redrive_counts for each statement execute function wait()")


def counts_of_redrives(session) -> tuple[int, int]:
    """Return how many records were sent again, and how often at most."""
    return session.execute("select count(*), coalesce(max(redrives), 0) from redrive_counts").fetchone()


def unblock_redrives(session) -> None:
    """End the sessions of killed redrives, and remove the block."""
    session.execute(
        "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
        " where application_name = 'stumble-dlq' and datname = current_database()"  # other tests use the server, too
    )
    session.execute("drop function wait cascade")


def test_kill_9_during_a_redrive_loses_nothing_and_counts_nothing_twice(testbed):
    events = [event(request_id=f"req-{number}", at=number / 1000) for number in range(3000)]
    write_dead_letters(testbed, [framed(one) for one in events])
    testbed.start()
    with connect(testbed.url) as session:
        block_redrives(session, 0)
        process = testbed.start("dlq", "redrive")
        eventually(lambda: "" if len(records(testbed, testbed.topic)) else "nothing is sent")
        process.kill()  # the broker has records that are not marked as sent
        process.wait()
        unblock_redrives(session)

        block_redrives(session, 600)
        process = testbed.start("dlq", "redrive")
        eventually(lambda: "" if counts_of_redrives(session)[0] >= 600 else "none is sent")
        process.kill()
        process.wait()
        unblock_redrives(session)
        assert counts_of_redrives(session)[0] < len(events), "it was still at it"
        rest = run_dlq(testbed, "redrive")
        assert counts_of_redrives(session) == (len(events), 1)
    assert int(rest.split()[0]) <= len(events) - 600, "it went on where it was"
    assert "0 sent again, 3000 skipped" in run_dlq(testbed, "redrive")
    testbed.wait_until_stored(events)
    assert len(events) < len(records(testbed, testbed.topic)) <= len(events) + 2 * 200, (
        "a chunk may be sent twice, no more"
    )


def test_record_that_fails_repeatedly_is_parked(testbed):
    def not_back(replay: int) -> str:
        waiting = list_dead_letters(testbed, "--state", "waiting")
        return "" if len(waiting) == 1 else f"not back: {replay}"

    testbed.start()
    testbed.send(b"junk", KEY)
    testbed.flush()
    for replay in range(3):
        eventually(partial(not_back, replay))
        (item,) = list_dead_letters(testbed, "--state", "WAITING")
        assert item["replays"] == replay
        assert "0 sent again" in run_dlq(testbed, "redrive"), "it cannot be read"
        assert "1 sent again" in run_dlq(testbed, "redrive", "--unreadable")
    eventually(lambda: "" if list_dead_letters(testbed, "--state", "PARKED") else "not parked")
    (parked,) = list_dead_letters(testbed, "--state", "PARKED")
    assert parked["replays"] == 3
    assert parked["first_seen"] == list_dead_letters(testbed)[0]["first_seen"]
    assert "0 sent again" in run_dlq(testbed, "redrive")
    assert "is parked" in run_dlq(testbed, "redrive", "--dry-run", "--state", "PARKED")
    assert "1 sent again" in run_dlq(testbed, "redrive", "--state", "PARKED", "--force", "--unreadable")
    eventually(lambda: "" if len(list_dead_letters(testbed)) == 5 else "not back")
    stats = json.loads(run_dlq(testbed, "stats", "--format", "json"))
    assert stats["total"]["states"] == {"REDRIVEN": 4, "PARKED": 1}
    (reason,) = stats["reasons"]
    assert (reason["stage"], reason["exception"], reason["count"]) == ("decode", "NotAvro", 5)


def test_dead_letter_of_another_topic_is_not_redriven(testbed):
    write_dead_letters(testbed, [framed(event())])
    producer = DeadLetterProducer(testbed.settings, "test")
    foreign = InMemoryRecord(framed(event()), 0, 0)  # from instance-actions without the testbed's prefix
    assert producer.send([BadRecord(foreign, 0, 0, BadRecordError("decode", ValueError("x")))]) == {}
    assert [item["state"] for item in list_dead_letters(testbed)] == ["WAITING", "FOREIGN"]
    assert "1 sent again, 1 skipped" in run_dlq(testbed, "redrive", "--force", "--again")
    exported = [json.loads(line) for line in run_dlq(testbed, "export").splitlines()]
    assert len(exported) == 2
    assert exported[0]["headers"] == [{"name": "ce_id", "text": "0", "base64": "MA=="}]
    output = run_dlq(testbed, "show", "0:1")
    assert "instance-actions" in output
    assert "has no record 0:9" in stumble("dlq", "show", "0:9", **testbed.environment()).stderr
