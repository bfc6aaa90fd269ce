"""Deadlines: each action has one, longer than Nova's own time-outs; configured values are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from stumble.outcome.deadlines import (
    DEADLINES,
    UNKNOWN,
    DeadlineError,
    deadline_table,
    effective_deadlines,
    format_duration,
)
from stumble.outcome.rules import ACTIONS
from stumble.settings.base import SettingsError, load_settings

DOCUMENT = Path(__file__).parents[3] / "docs" / "outcomes.md"


def test_every_action_has_a_deadline() -> None:
    assert set(DEADLINES) == set(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_deadline_is_longer_than_novas_own_timeouts(action: str) -> None:
    assert DEADLINES[action].seconds > DEADLINES[action].allowed() > 0


def test_deadline_is_hours_for_live_migration_but_not_for_lock() -> None:
    assert DEADLINES["live-migration"].seconds >= 12 * 3600
    assert DEADLINES["lock"].seconds < 3600


def test_deadline_table_in_docs_is_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = text.partition("outcome.deadlines -->\n")[2].partition("<!-- end of deadlines -->")[0]
    assert shown == deadline_table(), "run: python -m stumble.outcome.deadlines"


@pytest.mark.parametrize("name", ["live-migration", "LIVE_MIGRATION", "live_migration"])
def test_deadline_is_configured_in_any_spelling_of_the_action(name: str) -> None:
    configured = effective_deadlines({name: 5})
    assert configured["live-migration"] == 5
    assert configured["stop"] == DEADLINES["stop"].seconds
    assert configured["other"] == UNKNOWN


def test_unknown_action_in_the_settings_raises_one_sentence() -> None:
    with pytest.raises(DeadlineError, match=r"^The setting clock\.deadlines names explode, which is not an action"):
        effective_deadlines({"explode": 5})


def test_deadlines_are_read_from_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.toml").write_text(
        '[clock]\nsilent_after = "20m"\n[clock.deadlines]\nchangePassword = "5m"\nstop = 90\n'
    )
    monkeypatch.setenv("STUMBLE_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("STUMBLE_CLOCK__DEADLINES__STOP", "2h")
    clock = load_settings().clock
    assert clock.silent_after == 1200
    configured = effective_deadlines(clock.deadlines)
    assert (configured["changePassword"], configured["stop"]) == (300, 7200)


@pytest.mark.parametrize("value", ["soon", "-5", "0", "5y"])
def test_invalid_duration_raises_one_sentence(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_CLOCK__DEADLINES__STOP", value)
    with pytest.raises(SettingsError, match=r"^The setting STUMBLE_CLOCK__DEADLINES__STOP is wrong: .*\.$"):
        load_settings()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (60, "1 minute"), (1200, "20 minutes"), (5400, "90 minutes"), (86400, "24 hours")],
)
def test_duration_is_formatted_in_words(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
