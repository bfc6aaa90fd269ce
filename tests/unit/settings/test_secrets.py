"""Where secrets come from: the environment, systemd's credentials, the directory that the file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from stumble.settings.base import load_settings, secrets_folder, unreadable_secrets_folder

URL = "postgresql://stumble:pw@db/stumble"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the secrets directory that the file names."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "database_url").write_text(URL)
    config = tmp_path / "stumble.toml"
    config.write_text(f'secrets_dir = "{folder}"')
    monkeypatch.setenv("STUMBLE_CONFIG", str(config))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return folder


def test_command_at_a_shell_reads_the_directory_that_the_file_names(folder: Path) -> None:
    settings = load_settings()
    assert settings.database_url.get_secret_value() == URL
    assert settings.secrets_dir == folder


@pytest.mark.parametrize("variable", ["STUMBLE_SECRETS_DIR", "CREDENTIALS_DIRECTORY"])
def test_directory_of_the_environment_wins(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    other = tmp_path / "credentials"
    other.mkdir()
    (other / "database_url").write_text("postgresql://other/stumble")
    monkeypatch.setenv(variable, str(other))
    assert secrets_folder() == other
    assert load_settings().database_url.get_secret_value() == "postgresql://other/stumble"


def test_directory_that_is_not_there_is_left_out_and_named(folder: Path) -> None:
    (folder / "database_url").unlink()
    folder.rmdir()
    assert "database_url" not in load_settings().model_fields_set
    assert unreadable_secrets_folder() == folder
