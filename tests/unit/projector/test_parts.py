"""The projector's parts that need neither Kafka nor PostgreSQL."""

from __future__ import annotations

import logging
import struct
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stumble.deadletters.producer import FIRST_SEEN, PREFIX, REPLAYS, explained
from stumble.ingest.batch import BadRecord, Batch
from stumble.ingest.decoding import EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.kafka.consumer import consumer_config
from stumble.metrics.definitions import ALL, MAX_EXCEPTIONS
from stumble.metrics.process import ProcessMetrics
from stumble.metrics.store import capped
from stumble.projector.health import ProjectorHealth
from stumble.projector.positions import AssignedPartitions
from stumble.runtime.state_log import StateLog
from stumble.settings.kafka import KafkaSettings
from stumble.store.copying import PG_EPOCH_US, event_row, uuid_array
from stumble.store.partitions import DAY_MS, day_of_id, days_of_ids, first_id, partition_name
from stumble.store.queries import load
from stumble.wire.errors import InvalidEvent
from stumble.wire.ids import new_event_id
from tests.support.events import event, framed
from tests.support.projection import FakeRecord


def batch_of(*places):
    batch, reader, following = Batch(), EventDecoder(), {}
    for partition, offset in places:
        value = framed(event(request_id=f"req-{partition}-{offset}"))
        record = FakeRecord(value, (partition, offset))
        if offset % 5 == 4:
            error = BadRecordError("decode", ValueError("bad"))
            batch.bad.append(BadRecord(record, partition, offset, error))
        else:
            batch.readings.append(reader.read(record, value, partition, offset))
        batch.extend(partition, following.get(partition, offset), offset, 0)
        following[partition] = offset + 1
    return batch


@given(st.lists(st.integers(0, 2), min_size=2, max_size=30))
def test_halves_cover_a_partition_without_a_gap(partitions):
    counts: dict[int, int] = {}
    places = []
    for partition in partitions:
        places.append((partition, counts.setdefault(partition, 0)))
        counts[partition] += 1
    for part in batch_of(*places).by_partition():
        ((partition, span),) = part.spans.items()
        if len(part) < 2:
            continue
        left, right = part.halves()
        assert left.spans[partition].start == span.start
        assert left.spans[partition].end == right.spans[partition].start
        assert right.spans[partition].end == span.end
        assert [*left.readings, *right.readings] == part.readings
        assert sorted((*left.bad, *right.bad), key=lambda bad: bad.offset) == part.bad
        assert len(left) < len(part)
        assert len(right) < len(part)


def test_cut_keeps_what_lies_before():
    batch = batch_of((0, 0), (0, 1), (0, 2), (1, 0))
    batch.cut(0, 1)
    assert (batch.spans[0].start, batch.spans[0].end) == (0, 1)
    assert [(one.partition, one.offset) for one in batch.readings] == [(0, 0), (1, 0)]
    batch.cut(1, 0)
    assert set(batch.spans) == {0}


def test_drop_forgets_a_partition():
    batch = batch_of((0, 0), (0, 4), (1, 0))
    batch.drop([0])
    assert set(batch.spans) == {1}
    assert batch.bad == []
    batch.drop([1])
    assert not batch


def test_statements_have_names_of_their_own_and_no_semicolon_inside():
    statements = load()
    assert len(statements) > 40
    assert all(";" not in text.rstrip().rstrip(";").split("--")[0] for text in statements.values())


def test_a_row_is_postgresqls_binary_format():
    ident = uuid.uuid4()
    row = event_row(ident.bytes, PG_EPOCH_US + 5, 3, 9, b"body")
    assert row[:2] == struct.pack("!h", 5)
    assert row[6:22] == ident.bytes
    assert struct.unpack("!q", row[26:34]) == (5,)
    assert row.endswith(struct.pack("!i", 4) + b"body")
    assert uuid_array([ident.bytes, ident.bytes])[12:16] == struct.pack("!i", 2)


@given(st.integers(0, 4_000_000_000_000_000))
def test_an_id_lies_in_the_range_of_its_day(time_us):
    event_id = new_event_id(time_us)
    day = day_of_id(uuid.UUID(event_id).bytes)
    assert day == time_us // 1000 // DAY_MS
    assert first_id(day) <= event_id < first_id(day + 1)
    assert day in days_of_ids([uuid.UUID(event_id).bytes])
    assert partition_name(0) == "events_19700101"


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": "nonsense"},
        {"event_id": "11111111111141118111111111111111"},
        {"instance_uuid": "nonsense"},
        {"occurred_at": -5},
        {"occurred_at": 2**62},
    ],
)
def test_what_breaks_the_model_is_a_bad_record(fields):
    value = framed(event(**fields))
    with pytest.raises(BadRecordError) as caught:
        EventDecoder().read(FakeRecord(value, (0, 0)), value, 0, 0)
    assert caught.value.stage == "model"
    assert isinstance(caught.value.cause, InvalidEvent)


def test_dead_letters_keep_their_headers_first_sight_and_replays():
    given_headers = [("ce_id", b"mine"), (FIRST_SEEN, b"long ago"), (REPLAYS, b"2"), (PREFIX + "stage", b"old")]
    record = FakeRecord(b"junk", (3, 14), given_headers)
    headers = explained(BadRecord(record, 3, 14, BadRecordError("decode", ValueError("no \udc00 text"))), "group")
    told = dict(headers)
    assert headers[0] == ("ce_id", b"mine")
    assert len(told) == len(headers)
    assert (told[FIRST_SEEN], told[REPLAYS], told[PREFIX + "stage"]) == (b"long ago", b"2", b"decode")
    assert (told[PREFIX + "partition"], told[PREFIX + "offset"]) == (b"3", b"14")
    assert told[PREFIX + "exception.class.name"] == b"builtins.ValueError"
    assert told[PREFIX + "schema"] == b"none"


def test_exceptions_are_capped_in_the_order_in_which_they_came():
    few = {(f"E{number}",): number for number in range(5)}
    assert capped(few) == few
    many = {(f"E{number}",): 1 for number in range(MAX_EXCEPTIONS + 7)}
    shown = capped(many)
    assert len(shown) == MAX_EXCEPTIONS + 1
    assert shown["other",] == 7
    assert sum(shown.values()) == len(many)


def test_metrics_are_defined_once_and_can_be_made():
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    assert not any(name.endswith("_total") for name in names)
    for role in ("projector", "alerter"):
        ProcessMetrics(role)


def test_a_state_is_told_when_it_changes(caplog):
    notices = StateLog(logging.getLogger("stumble.test"))
    for _ in range(3):
        notices.say("store", "gone")
    notices.over("store", "back")
    notices.over("store", "back")
    assert [record.message for record in caplog.records] == ["gone", "back"]


def test_life_is_progress_and_a_store_that_is_away_is_no_reason_to_die():
    health = ProjectorHealth(stuck_after=0.0)
    health.turned(nothing_to_do=False)
    assert health.live()[0] is False
    health.store_down("the database does not answer")
    assert health.live() == (True, "the database does not answer")
    assert health.ready()[0] is False
    health.store_up()
    health.standing({0, 1}, {})
    assert health.ready()[0] is True
    health.standing({0, 1}, {1: "stands still"})
    assert health.ready() == (False, "stands still")


def test_the_new_protocol_leaves_the_session_to_the_broker():
    classic = consumer_config(KafkaSettings(), "g")
    assert classic["session.timeout.ms"] < 10_000
    assert classic["auto.offset.reset"] == "error"
    assert classic["partition.assignment.strategy"] == "range"
    new = consumer_config(KafkaSettings(consumer_options={"group.protocol": "consumer"}), "g")
    assert "session.timeout.ms" not in new
    assert "partition.assignment.strategy" not in new


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_a_split_keeps_partitions_whole(partitions):
    counts: dict[int, int] = {}
    places = []
    for partition in partitions:
        places.append((partition, counts.setdefault(partition, 0)))
        counts[partition] += 1
    batch = batch_of(*places)
    left, right = batch.split()
    assert left.spans | right.spans == batch.spans
    assert not left.spans.keys() & right.spans.keys()
    assert len(left) + len(right) == len(batch)
    assert len(left.bad) + len(right.bad) == len(batch.bad)
    assert {one.partition for one in (*left.readings, *left.bad)} <= left.spans.keys()


def test_positions_hold_let_go_and_forget(monkeypatch):
    at = AssignedPartitions()
    at.place(0, 5)
    at.place(1, 9)
    assert at.skips(0, 5) is None
    assert at.skips(0, 7) == (5, 7)
    at.hold(0, "no reason to go on")
    at.hold(1, None)
    assert at.reading() == {}
    assert at.due() == {}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2)
    assert set(at.due()) == {1}
    assert at.reading() == {1: 9}
    monkeypatch.setattr(time, "monotonic", lambda: now + 6)
    assert at.due()[0].reason == "no reason to go on"
    at.forget([0])
    assert at.taken == {1: 9}
