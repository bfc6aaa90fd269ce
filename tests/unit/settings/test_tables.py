"""Texts about wrong settings of one role."""

from __future__ import annotations

from pathlib import Path

import pytest

from stumble.alerts.settings import AlertSettings
from stumble.bridge.settings import load_bridge_settings
from stumble.settings.base import SettingsError


def test_wrong_item_of_a_list_names_the_variable_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stumble.toml"
    path.write_text("[alerts]\nalertmanagers = [1]\n")
    monkeypatch.setenv("STUMBLE_CONFIG", str(path))
    with pytest.raises(SettingsError, match=r"^The setting STUMBLE_ALERTS_ALERTMANAGERS \("):
        AlertSettings()


def test_fault_between_two_transports_names_the_table() -> None:
    same = {"name": "a", "url": "rabbit://h"}
    with pytest.raises(SettingsError, match=r"^The setting bridge is wrong: two transports have the same name"):
        load_bridge_settings([same, same])
