"""The circuit breaker stops only at bad records, and lets no more of them through than allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from stumble.projector.breaker import CircuitBreaker

RUN = 5


def nothing_let_through(_: int) -> int:
    return 0


def stop_offset(
    breaker: CircuitBreaker,
    records: Iterable[tuple[int, bool | None]],
    permit: Callable[[int], int] = nothing_let_through,
) -> int | None:
    """Check records of partition 0; returns the offset to stop at, if any."""
    stop = breaker.check_records(0, records, permit)
    return None if stop is None else stop[0]


def check_in_batches(breaker: CircuitBreaker, marks: Sequence[bool | None], sizes: list[int]) -> tuple[int, int | None]:
    """Check records in batches; returns the end offset and the offset of the stop, if any."""
    at = 0
    for size in [*sizes, len(marks)]:
        batch = list(enumerate(marks))[at : at + size]
        stopped = stop_offset(breaker, batch)
        if stopped is not None:
            return stopped, stopped
        at += len(batch)
    return at, None


@given(st.lists(st.booleans(), max_size=60), st.lists(st.integers(1, 20), max_size=8))
def test_breaker_stops_after_the_allowed_run_of_bad_records_for_any_batches(marks, sizes):
    end, stopped = check_in_batches(CircuitBreaker(RUN, 1.0), marks, sizes)
    text = "".join("x" if bad else "." for bad in marks)
    first = text.find("x" * (RUN + 1))
    assert stopped == (first + RUN if first >= 0 else None)
    assert end == (stopped if stopped is not None else len(marks))


@given(st.sampled_from([1, 2, 3, 4, 6, 7, 8, 9]))
def test_breaker_stops_at_half_bad_records_but_not_before_a_hundred(bad_of_ten):
    marks = [number % 10 < bad_of_ten for number in range(3000)]
    _, stopped = check_in_batches(CircuitBreaker(0, 0.5), marks, [100] * 30)
    if bad_of_ten < 5:
        assert stopped is None
    else:
        assert stopped is not None
        assert marks[stopped]
        assert sum(marks[:stopped]) >= 100


def test_blocked_records_continue_when_readable_or_let_through():
    breaker = CircuitBreaker(RUN, 1.0)
    _, stopped = check_in_batches(breaker, [True] * 20, [])
    assert stopped == RUN
    for _ in range(3):  # after each further read the record is still bad
        assert stop_offset(breaker, [(RUN, True), (RUN + 1, True)]) == RUN
    assert breaker.check_records(0, [(number, True) for number in range(RUN, 20)], lambda _: 18) is None, (
        "a new run of two"
    )
    assert stop_offset(breaker, [(number, True) for number in range(20, 30)], lambda _: 18) == 23
    assert breaker.check_records(0, [(23, False), (24, True)], nothing_let_through) is None, "it can be read now"


def test_records_rejected_by_the_store_are_counted_per_partition():
    breaker = CircuitBreaker(RUN, 1.0)
    for offset in range(RUN):
        assert breaker.refused(0, offset, nothing_let_through) is None
        assert breaker.refused(1, offset, nothing_let_through) is None
        breaker.stored([1])
    assert breaker.refused(1, 9, nothing_let_through) is None
    reason = breaker.refused(0, 9, nothing_let_through)
    assert reason is not None
    assert "5 records in a row" in reason
    assert breaker.refused(0, 9, lambda _: 10) is None


@given(st.lists(st.sampled_from([True, False, None]), max_size=60), st.lists(st.integers(1, 20), max_size=8))
def test_records_that_are_not_counted_change_no_stop(marks, sizes):
    counted = [mark for mark in marks if mark is not None]
    _, expected = check_in_batches(CircuitBreaker(RUN, 1.0), counted, [])
    _, stopped = check_in_batches(CircuitBreaker(RUN, 1.0), marks, sizes)
    offsets = [offset for offset, mark in enumerate(marks) if mark is not None]
    assert stopped == (None if expected is None else offsets[expected])


def test_partition_stays_stopped_behind_records_that_are_not_counted():
    breaker = CircuitBreaker(RUN, 1.0)
    marks = [True] * RUN + [None] * 3 + [True] * 9
    stop = RUN + 3
    assert stop_offset(breaker, enumerate(marks)) == stop
    breaker.start_at(0, stop)
    assert stop_offset(breaker, [(stop, True)]) == stop
    for offset in range(RUN):
        assert breaker.refused(1, offset, nothing_let_through) is None
    assert breaker.refused(1, RUN, nothing_let_through, is_counted=False) is None
    breaker.start_at(1, RUN + 1)
    assert breaker.refused(1, RUN + 1, nothing_let_through) is not None


def test_new_start_offset_begins_a_new_run_and_blocked_records_stay_blocked():
    breaker = CircuitBreaker(RUN, 1.0)
    assert breaker.check_records(0, [(number, True) for number in range(RUN - 1)], nothing_let_through) is None
    breaker.start_at(0, 1000)
    assert (
        breaker.check_records(0, [(number, True) for number in range(1000, 1000 + RUN)], nothing_let_through) is None
    ), "a run of its own"
    assert stop_offset(breaker, [(1000 + RUN, True)]) == 1000 + RUN
    breaker.start_at(0, 1000 + RUN)  # the group reassigned all partitions, and no other member had read this one
    assert stop_offset(breaker, [(1000 + RUN, True)]) == 1000 + RUN
