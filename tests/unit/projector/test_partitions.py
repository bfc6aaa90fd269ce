"""The partitions that a projector reads, and which of them are blocked."""

from __future__ import annotations

from stumble.projector.partition_state import PartitionState, PartitionStatus
from stumble.projector.partitions import AssignedPartitions, Partition
from stumble.testing.clock import ManualClock


def reading(number, offset):
    return PartitionStatus("t", number, PartitionState.READING, offset)


def blocked(number, state):
    return PartitionStatus("t", number, state, 5)


def test_blocked_partitions_are_due_after_the_retry_time_of_their_state():
    clock = ManualClock()
    partitions = AssignedPartitions(clock.steady)
    partitions.add(reading(0, 5))
    partitions.add(reading(1, 9))
    partitions.block(blocked(0, PartitionState.BAD_RECORDS))
    partitions.block(blocked(1, PartitionState.NO_START_OFFSET))
    assert (partitions.stored_offsets(), partitions.unblock_due()) == ({}, [])
    clock.advance(1)
    assert [status.partition for status in partitions.unblock_due()] == [1]
    assert partitions.stored_offsets() == {1: 9}
    clock.advance(4)
    assert [status.state for status in partitions.unblock_due()] == [PartitionState.BAD_RECORDS]


def test_removed_partition_has_no_next_offset():
    partitions = AssignedPartitions()
    partitions.add(reading(0, 5))
    partitions.add(reading(1, 9))
    partitions.remove([0])
    assert partitions.next_offsets() == {1: 9}


def test_gap_after_a_seek_is_confirmed_when_it_is_read_a_second_time():
    partition = Partition(0, next_offset=5, stored_offset=5)
    assert partition.is_unconfirmed_gap(7)
    assert partition.is_unconfirmed_gap(8), "it is another gap"
    assert not partition.is_unconfirmed_gap(8)


def test_gap_that_is_read_in_sequence_needs_no_second_read():
    partition = Partition(0, next_offset=5, stored_offset=5)
    assert not partition.is_unconfirmed_gap(5)
    assert not partition.is_unconfirmed_gap(7)
    partition.restart(5)
    assert partition.is_unconfirmed_gap(7), "the client was positioned anew"


def test_partition_waits_for_a_transaction_when_its_end_stays_below_the_high_watermark_for_a_minute():
    partition = Partition(0, next_offset=5, stored_offset=5, end_offset=5)
    assert not partition.waits_for_transaction(9, now=100)
    assert not partition.waits_for_transaction(9, now=159)
    assert partition.waits_for_transaction(9, now=161)
    partition.next_offset = partition.end_offset = 7  # one transaction has ended, the next one is open
    assert not partition.waits_for_transaction(9, now=162)
    assert not partition.waits_for_transaction(7, now=300), "nothing waits"


def test_partition_that_has_not_been_read_to_its_end_waits_for_no_transaction():
    partition = Partition(0, next_offset=5, stored_offset=5, end_offset=None)
    assert not partition.waits_for_transaction(9, now=100)
    assert not partition.waits_for_transaction(9, now=500)
