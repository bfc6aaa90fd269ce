"""Results of `stumble check` for the settings of the clock."""

import pytest

from stumble.checks.deadlines import check_deadlines
from stumble.checks.model import CheckContext, CheckLevel
from stumble.settings.base import Settings
from stumble.settings.clock import ClockSettings


def check_results(**clock):
    return [(one.level, one.says) for one in check_deadlines(CheckContext(Settings(clock=ClockSettings(**clock))))]


def test_default_deadlines_are_fine():
    assert [level for level, _ in check_results()] == [CheckLevel.FINE]


@pytest.mark.parametrize(
    ("clock", "level", "words"),
    [
        ({"deadlines": {"explode": "1h"}}, CheckLevel.WRONG, "names explode, which is not an action"),
        ({"deadlines": {"live-migration": "10m"}}, CheckLevel.WARNING, "live-migration stalls after 10 minutes"),
        ({"silent_after": "40s"}, CheckLevel.WARNING, "relays report every 30 seconds"),
    ],
)
def test_wrong_clock_settings_are_reported(clock, level, words):
    assert any(reported is level and words in says for reported, says in check_results(**clock))
