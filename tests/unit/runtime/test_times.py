"""Durations and times as users write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stumble.runtime.times import EPOCH, from_micros, from_millis, parse_duration, parse_when
from stumble.settings.base import SettingsError, load_settings

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("3d", 259_200), ("1.5h", 5400)]
)
def test_duration_is_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["999999999w", "999999999d1d"])
def test_duration_that_no_timedelta_can_be_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is too long for a duration"):
        parse_duration(text)


def test_time_longer_ago_than_the_epoch_is_the_epoch() -> None:
    assert parse_when("999999999w", NOW) == parse_when("9999999d", NOW) == EPOCH
    assert parse_when("2h", NOW) == NOW - timedelta(hours=2)


def test_setting_with_a_too_long_duration_raises_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_CLOCK__SETTLE", "999999999w")
    with pytest.raises(
        SettingsError, match=r"^The setting STUMBLE_CLOCK__SETTLE is wrong: '999999999w' is too long .*\.$"
    ):
        load_settings()


def test_log_level_is_accepted_in_lower_case_and_another_word_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_LOG_LEVEL", "debug")
    assert load_settings().log_level == "debug"
    monkeypatch.setenv("STUMBLE_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError, match="STUMBLE_LOG_LEVEL is wrong"):
        load_settings()


@pytest.mark.parametrize("micros", [2**63 - 1, -(2**63), 300_000_000_000_000_000])
def test_number_that_no_time_can_be_gives_none(micros: int) -> None:
    assert from_micros(micros) is None
    assert from_millis(micros) is None


def test_kafka_time_is_read_in_milliseconds_and_its_absence_is_none() -> None:
    assert from_millis(1_500) == EPOCH + timedelta(seconds=1.5)
    assert from_millis(-1) is None
