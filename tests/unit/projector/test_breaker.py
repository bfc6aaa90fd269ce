"""The breaker, whatever is bad: it stops at bad records only, and lets no more through than it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stumble.projector.breaker import CircuitBreaker

RUN = 5


def nobody(_: int) -> int:
    return 0


def through(breaker: CircuitBreaker, marks: list[bool], sizes: list[int]) -> tuple[int, int | None]:
    """Feed records in batches; returns how far it came, and where it stopped."""
    at = 0
    for size in [*sizes, len(marks)]:
        batch = list(enumerate(marks))[at : at + size]
        stop = breaker.check_records(0, batch, nobody)
        if stop is not None:
            return stop[0], stop[0]
        at += len(batch)
    return at, None


@given(st.lists(st.booleans(), max_size=60), st.lists(st.integers(1, 20), max_size=8))
def test_it_stops_where_a_run_gets_too_long_however_it_is_cut(marks, sizes):
    came, stopped = through(CircuitBreaker(RUN, 1.0), marks, sizes)
    text = "".join("x" if bad else "." for bad in marks)
    first = text.find("x" * (RUN + 1))
    assert stopped == (first + RUN if first >= 0 else None)
    assert came == (stopped if stopped is not None else len(marks))


@given(st.sampled_from([1, 2, 3, 4, 6, 7, 8, 9]))
def test_a_share_of_bad_records_is_too_many_but_not_before_there_are_a_hundred(bad_of_ten):
    marks = [number % 10 < bad_of_ten for number in range(3000)]
    _, stopped = through(CircuitBreaker(0, 0.5), marks, [100] * 30)
    if bad_of_ten < 5:
        assert stopped is None
    else:
        assert stopped is not None
        assert marks[stopped]
        assert sum(marks[:stopped]) >= 100


def test_what_was_held_back_goes_on_when_it_is_good_or_let_through():
    breaker = CircuitBreaker(RUN, 1.0)
    _, stopped = through(breaker, [True] * 20, [])
    assert stopped == RUN
    for _ in range(3):  # read again and again, it is still bad
        assert breaker.check_records(0, [(RUN, True), (RUN + 1, True)], nobody)[0] == RUN
    assert breaker.check_records(0, [(number, True) for number in range(RUN, 20)], lambda _: 18) is None, (
        "a new run of two"
    )
    assert breaker.check_records(0, [(number, True) for number in range(20, 30)], lambda _: 18)[0] == 23
    assert breaker.check_records(0, [(23, False), (24, True)], nobody) is None, "it can be read now"


def test_what_the_store_refuses_is_counted_by_partition():
    breaker = CircuitBreaker(RUN, 1.0)
    for offset in range(RUN):
        assert breaker.refused(0, offset, nobody) is None
        assert breaker.refused(1, offset, nobody) is None
        breaker.stored([1])
    assert breaker.refused(1, 9, nobody) is None
    assert "5 records in a row" in breaker.refused(0, 9, nobody)
    assert breaker.refused(0, 9, lambda _: 10) is None


def test_what_others_read_meanwhile_is_not_counted_and_what_is_held_back_stays_so():
    breaker = CircuitBreaker(RUN, 1.0)
    assert breaker.check_records(0, [(number, True) for number in range(RUN - 1)], nobody) is None
    breaker.start_at(0, 1000)
    assert breaker.check_records(0, [(number, True) for number in range(1000, 1000 + RUN)], nobody) is None, (
        "a run of its own"
    )
    assert breaker.check_records(0, [(1000 + RUN, True)], nobody)[0] == 1000 + RUN
    breaker.start_at(0, 1000 + RUN)  # the group gave everything out anew, and nobody else had it
    assert breaker.check_records(0, [(1000 + RUN, True)], nobody)[0] == 1000 + RUN
