"""Deadlines as data: every action has one, longer than Nova's own time-outs; what is configured is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from stumble.outcome.deadlines import DEADLINES, UNKNOWN, DeadlineError, deadlines, format_duration, table
from stumble.outcome.rules import ACTIONS
from stumble.settings.base import SettingsError, load

DOCUMENT = Path(__file__).parents[3] / "docs" / "outcomes.md"


def test_every_action_has_a_deadline() -> None:
    assert set(DEADLINES) == set(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_it_is_longer_than_all_that_nova_waits_for(action: str) -> None:
    assert DEADLINES[action].seconds > DEADLINES[action].allowed() > 0


def test_a_live_migration_may_last_hours_and_a_lock_may_not() -> None:
    assert DEADLINES["live-migration"].seconds >= 12 * 3600
    assert DEADLINES["lock"].seconds < 3600


def test_the_document_shows_the_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = text.partition("outcome.deadlines -->\n")[2].partition("<!-- end of deadlines -->")[0]
    assert shown == table(), "run: python -m stumble.outcome.deadlines"


@pytest.mark.parametrize("name", ["live-migration", "LIVE_MIGRATION", "live_migration"])
def test_configured_in_any_spelling(name: str) -> None:
    found = deadlines({name: 5})
    assert found["live-migration"] == 5
    assert found["stop"] == DEADLINES["stop"].seconds
    assert found["other"] == UNKNOWN


def test_a_name_that_is_no_action_is_one_clear_sentence() -> None:
    with pytest.raises(DeadlineError, match=r"^The setting clock\.deadlines names explode, which is no action"):
        deadlines({"explode": 5})


def test_read_from_a_file_and_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.toml").write_text(
        '[clock]\nsilent_after = "20m"\n[clock.deadlines]\nchangePassword = "5m"\nstop = 90\n'
    )
    monkeypatch.setenv("STUMBLE_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("STUMBLE_CLOCK__DEADLINES__STOP", "2h")
    clock = load().clock
    assert clock.silent_after == 1200
    found = deadlines(clock.deadlines)
    assert (found["changePassword"], found["stop"]) == (300, 7200)


@pytest.mark.parametrize("value", ["soon", "-5", "0", "5y"])
def test_a_length_of_time_that_is_none_is_one_clear_sentence(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_CLOCK__DEADLINES__STOP", value)
    with pytest.raises(SettingsError, match=r"^The setting STUMBLE_CLOCK__DEADLINES__STOP is wrong: .*\.$"):
        load()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (60, "1 minute"), (1200, "20 minutes"), (5400, "90 minutes"), (86400, "24 hours")],
)
def test_spoken(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
