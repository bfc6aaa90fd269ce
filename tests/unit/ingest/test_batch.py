"""Batches: dropping a partition, cutting, splitting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stumble.ingest.batch import BadRecord, Batch
from stumble.ingest.decoding import EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.testing.events import event, framed
from stumble.testing.in_memory import InMemoryRecord


def batch_of(*record_ids):
    batch, decoder = Batch(), EventDecoder()
    following: dict[int, int] = {}
    for partition, offset in record_ids:
        value = framed(event(request_id=f"req-{partition}-{offset}"))
        record = InMemoryRecord(value, partition, offset)
        if offset % 5 == 4:
            error = BadRecordError("decode", ValueError("bad"))
            batch.bad.append(BadRecord(record, partition, offset, error))
        else:
            batch.readings.append(decoder.decode_event(record, value, partition, offset))
        batch.extend(partition, following.get(partition, offset), offset, 0)
        following[partition] = offset + 1
    return batch


@given(st.lists(st.integers(0, 2), min_size=2, max_size=30))
def test_halves_cover_a_partition_without_a_gap(partitions):
    counts: dict[int, int] = {}
    record_ids = []
    for partition in partitions:
        record_ids.append((partition, counts.setdefault(partition, 0)))
        counts[partition] += 1
    for part in batch_of(*record_ids).by_partition():
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


def test_cut_keeps_records_before_the_offset():
    batch = batch_of((0, 0), (0, 1), (0, 2), (1, 0))
    batch.cut(0, 1)
    assert (batch.spans[0].start, batch.spans[0].end) == (0, 1)
    assert [(one.partition, one.offset) for one in batch.readings] == [(0, 0), (1, 0)]
    batch.cut(1, 0)
    assert set(batch.spans) == {0}


def test_drop_removes_a_partition():
    batch = batch_of((0, 0), (0, 4), (1, 0))
    batch.drop([0])
    assert set(batch.spans) == {1}
    assert batch.bad == []
    batch.drop([1])
    assert not batch


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_split_keeps_partitions_whole(partitions):
    counts: dict[int, int] = {}
    record_ids = []
    for partition in partitions:
        record_ids.append((partition, counts.setdefault(partition, 0)))
        counts[partition] += 1
    batch = batch_of(*record_ids)
    left, right = batch.split()
    assert left.spans | right.spans == batch.spans
    assert not left.spans.keys() & right.spans.keys()
    assert len(left) + len(right) == len(batch)
    assert len(left.bad) + len(right.bad) == len(batch.bad)
    assert {one.partition for one in (*left.readings, *left.bad)} <= left.spans.keys()
