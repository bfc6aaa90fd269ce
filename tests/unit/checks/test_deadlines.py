"""What `stumble check` says of the clock's settings."""

import pytest

from stumble.checks.deadlines import check_deadlines
from stumble.checks.model import CheckContext, CheckLevel
from stumble.settings.base import Settings
from stumble.settings.clock import ClockSettings


def told(**clock):
    return [(one.level, one.says) for one in check_deadlines(CheckContext(Settings(clock=ClockSettings(**clock))))]


def test_defaults_are_fine():
    assert [level for level, _ in told()] == [CheckLevel.FINE]


@pytest.mark.parametrize(
    ("clock", "level", "words"),
    [
        ({"deadlines": {"explode": "1h"}}, CheckLevel.WRONG, "names explode, which is no action"),
        ({"deadlines": {"live-migration": "10m"}}, CheckLevel.WARNING, "live-migration stalls after 10 minutes"),
        ({"silent_after": "40s"}, CheckLevel.WARNING, "relays speak every 30 seconds"),
    ],
)
def test_what_is_wrong_is_said(clock, level, words):
    assert any(found is level and words in says for found, says in told(**clock))
