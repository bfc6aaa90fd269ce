"""The description of a partition in `stumble offsets show`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stumble.projector.offsets_tool import OffsetReport
from stumble.projector.partition_state import PartitionState, PartitionStatus, compare_offsets

LAST_RECORD_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def report(state, stored, low, high):
    return OffsetReport(PartitionStatus("instance-actions", 3, state, stored), low, high, LAST_RECORD_AT)


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        (9, PartitionState.OFFSET_EXPIRED),
        (10, PartitionState.READING),
        (20, PartitionState.READING),
        (21, PartitionState.OFFSET_BEYOND_END),
    ],
)
def test_stored_offset_must_be_in_the_topic_or_at_its_end(stored, state):
    assert compare_offsets(stored, low=10, high=20) is state


@pytest.mark.parametrize(
    ("offset_report", "behind", "description"),
    [
        (report(PartitionState.READING, 40, 0, 90), 50, "reading"),
        (report(PartitionState.NEVER_READ, None, 3, 9), 6, "not read yet"),
        (
            report(PartitionState.OFFSET_EXPIRED, 40, 100, 120),
            20,
            (
                "the broker has deleted the next offset, 40; lost: offsets 40 to 99, at most 60 records, written "
                "after 2026-01-01 12:00:00 UTC"
            ),
        ),
        (
            report(PartitionState.OFFSET_BEYOND_END, 40, 0, 20),
            20,
            (
                "the topic ended before the next offset, 40: it was truncated or restored; records written after "
                "2026-01-01 12:00:00 UTC are not read yet"
            ),
        ),
    ],
)
def test_report_describes_lag_and_lost_records(offset_report, behind, description):
    assert (offset_report.behind, offset_report.description) == (behind, description)


def test_report_has_the_projectors_own_description_and_how_long_it_is_silent():
    status = PartitionStatus("instance-actions", 3, PartitionState.BAD_RECORDS, 40, since=LAST_RECORD_AT)
    blocked = OffsetReport(status, 0, 90, reported="stopped at offset 40: no event")
    assert blocked.description == "stopped at offset 40: no event; stopped since 2026-01-01 12:00:00 UTC"
    reading = PartitionStatus("instance-actions", 3, PartitionState.READING, 40)
    silent = OffsetReport(reading, 0, 90, silent_since=LAST_RECORD_AT)
    assert silent.description == "reading; no projector has reported since 2026-01-01 12:00:00 UTC"
