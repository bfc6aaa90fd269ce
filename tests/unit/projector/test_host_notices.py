"""Log lines about hosts: each once an hour, and a limited number of them."""

from __future__ import annotations

import logging

import pytest

from stumble.projector.host_notices import HostNotices, distance
from stumble.testing.clock import ManualClock

LOG = logging.getLogger("stumble.test.notices")


def test_host_is_named_once_an_hour_for_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    notices = HostNotices(LOG, clock.steady)
    for _ in range(3):
        notices.add("clock", "h1", "The clock of {host} is wrong.")
    notices.add("event", "h1", "An event of {host} is old.")
    clock.advance(3601)
    notices.add("clock", "h1", "The clock of {host} is wrong.")
    assert caplog.messages == ["The clock of h1 is wrong.", "An event of h1 is old.", "The clock of h1 is wrong."]


def test_number_of_lines_and_their_length_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    notices = HostNotices(LOG, clock.steady)
    for number in range(3000):
        notices.add("clock", f"{number}\n" + "x" * 255, "The clock of {host} is wrong.")
    assert len(caplog.messages) == 51
    assert "no further ones are logged" in caplog.messages[-1]
    assert max(len(text) for text in caplog.messages) < 150
    assert "\n" not in "".join(caplog.messages)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (2 * 86_400_000_000, "2.0 days after"),
        (-59_000_000, "59 seconds before"),
        (-(56 * 31_557_600_000_000), "56.0 years before"),
    ],
)
def test_distance_has_a_unit_that_fits(micros: int, text: str) -> None:
    assert distance(micros) == text
