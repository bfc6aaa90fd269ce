"""One record costs that record at most: unreadable headers, records that end the process, dead letters after a kill."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from stumble.deadletters.producer import PREFIX, UNREADABLE_HEADERS
from stumble.deadletters.unique_producer import UniqueDeadLetterProducer
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.store.connect import connect
from stumble.testing.events import event, framed
from stumble.testing.in_memory import InMemoryRecord
from tests.support.command import stumble
from tests.support.dead_letters import records, run_dlq
from tests.support.projection import ProjectorTestbed, eventually
from tests.support.raw_headers import produce_with_header

#: A header whose name is not UTF-8.
HEADER = (b"\xff\xfeA", b"hi")
#: Bad records with headers that can be read; fewer than stop a partition.
COMMON = 40
#: Runs the projector with a decoder that the value `deadly` kills, as a fault of a native library would.
_DEADLY_PROJECTOR = """
import os, signal, sys
from stumble.cli import main
from stumble.ingest.decoding import EventDecoder

decode = EventDecoder.decode_event

def decode_or_die(self, record, value, partition, offset):
    if value == b"deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(self, record, value, partition, offset)

EventDecoder.decode_event = decode_or_die
sys.argv = ["stumble", "projector"]
sys.exit(main())
"""


def write_with_header(testbed: ProjectorTestbed, partition: int, value: bytes) -> None:
    produce_with_header(testbed.kafka, testbed.topic, partition, value, HEADER)


def test_records_with_a_header_name_that_is_not_utf8_are_stored_or_dead_lettered(testbed: ProjectorTestbed) -> None:
    events = [event(request_id=f"req-{number}", at=number) for number in range(3)]
    confluent = b"\0\0\0\0\7" + framed(events[0])[10:]  # its schema id needs a header or a registry
    process = testbed.start()
    for number in range(COMMON):  # the interpreter calls a method otherwise when it has called it often
        testbed.send(b"bad %d" % number, b"key", partition=3, headers=[("name", b"value")])
    testbed.flush()
    write_with_header(testbed, 0, framed(events[0]))
    write_with_header(testbed, 1, b"no avro")
    write_with_header(testbed, 2, confluent)
    testbed.produce(events[1:])
    testbed.wait_until_stored(events)
    assert process.poll() is None
    letters = records(testbed, testbed.settings.topics.dlq)
    without_headers = [letter for letter in letters if UNREADABLE_HEADERS in dict(letter.headers())]
    assert sorted(letter.value() for letter in without_headers) == [confluent, b"no avro"]
    assert len(letters) == COMMON + 2
    position = f"0:{without_headers[0].offset()}"
    shown = stumble("tail", "actions", "--from", "beginning", "--to-end", **testbed.environment())
    assert (shown.returncode, shown.stdout.count("\n")) == (0, COMMON + 5)
    assert "headers unreadable" in run_dlq(testbed, "show", position)
    write_with_header(testbed, 0, b"x")
    produce_with_header(testbed.kafka, testbed.settings.topics.dlq, 0, b"no dead letter of stumble", HEADER)
    read = f"of {COMMON + 4} dead letters read"
    eventually(lambda: "" if read in run_dlq(testbed, "redrive", "--dry-run") else testbed.log_of(process))
    audited = stumble("audit", **testbed.environment())
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_record_that_kills_the_projector_is_dead_lettered_at_the_third_start(
    testbed: ProjectorTestbed, tmp_path: Path
) -> None:
    events = [event(request_id=f"req-{number}", at=number) for number in range(50)]
    testbed.produce(events[:25])
    testbed.send(b"deadly", b"key")
    testbed.produce(events[25:])
    (tmp_path / "deadly_projector.py").write_text(_DEADLY_PROJECTOR)
    path = os.pathsep.join([*sys.path, str(tmp_path)])
    for _ in range(2):
        process = testbed.start("", module="deadly_projector", PYTHONPATH=path)
        assert process.wait(60) == -signal.SIGKILL
    process = testbed.start("", module="deadly_projector", PYTHONPATH=path)
    testbed.wait_until_stored(events)
    assert process.poll() is None
    (letter,) = records(testbed, testbed.settings.topics.dlq)
    assert (letter.value(), dict(letter.headers())[PREFIX + "stage"]) == (b"deadly", b"crash")
    assert "UNREADABLE" in run_dlq(testbed, "ls", "--format", "json")


def test_projector_that_reads_a_bad_record_again_writes_no_second_dead_letter(testbed: ProjectorTestbed) -> None:
    testbed.send(b"no avro", b"key", partition=0)
    testbed.flush()
    testbed.read_once()
    with connect(testbed.url) as session:  # as if the process had ended before it moved the offset
        session.execute("update offsets set next_offset = 0")
    testbed.send(b"no avro either", b"key", partition=0)
    testbed.flush()
    testbed.read_once()
    letters = records(testbed, testbed.settings.topics.dlq)
    assert [letter.value() for letter in letters] == [b"no avro", b"no avro either"]


def test_dead_letters_of_an_earlier_topic_do_not_hide_those_of_a_topic_with_the_same_name(
    testbed: ProjectorTestbed,
) -> None:
    def bad(timestamp: int) -> BadRecord:
        record = InMemoryRecord(b"junk", 0, 5, topic_name=testbed.topic, timestamp_ms=timestamp)
        return BadRecord(record, 0, 5, BadRecordError("decode", ValueError("no")))

    for timestamps in ([1_700_000_000_000], [1_700_000_000_000, 1_800_000_000_000]):
        producer = UniqueDeadLetterProducer(testbed.settings, "test")  # as after a start
        assert producer.send(map(bad, timestamps)) == {}
    letters = records(testbed, testbed.settings.topics.dlq)
    written = [dict(letter.headers())[PREFIX + "timestamp"] for letter in letters]
    assert written == [b"1700000000000", b"1800000000000"]
