"""Settings of sessions: what the URL may change, and which server a session uses."""

from __future__ import annotations

import pytest

from stumble.store.session import TIME_LIMITS, settings_for


@pytest.mark.parametrize("options", ["-c statement_timeout=0", "-cstatement_timeout=0", "--statement-timeout=0"])
def test_options_of_the_url_win_over_the_time_limits(options: str) -> None:
    settings = settings_for(options, TIME_LIMITS, read_only=False)
    assert "statement_timeout" not in settings
    assert settings["lock_timeout"] == TIME_LIMITS["lock_timeout"]


def test_options_of_the_url_change_nothing_that_statements_rely_on() -> None:
    settings = settings_for("-c search_path=public -c DateStyle=German", TIME_LIMITS, read_only=False)
    assert settings == settings_for("", TIME_LIMITS, read_only=False)
    assert settings["datestyle"].startswith("ISO")


def test_sessions_that_only_read_are_read_only() -> None:
    assert settings_for("", TIME_LIMITS, read_only=True)["default_transaction_read_only"] == "on"
    assert "default_transaction_read_only" not in settings_for("", TIME_LIMITS, read_only=False)
