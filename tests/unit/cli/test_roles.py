"""Settings of commands that need the database: a secret that the user may not read is not replaced by a default."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import stumble


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a file of settings that names a secrets directory which does not exist here."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    path = tmp_path / "stumble.toml"
    path.write_text(f'secrets_dir = "{tmp_path / "absent"}"\n')
    return str(path)


@pytest.mark.parametrize("words", [("offsets", "show"), ("store", "migrate"), ("audit",), ("alerts", "test")])
def test_command_that_may_not_read_the_secrets_is_refused_with_what_to_do(config: str, words: tuple[str, ...]) -> None:
    result = stumble(*words, STUMBLE_CONFIG=config)
    assert result.returncode == 1
    assert "cannot be read by this user: run the command as root" in result.stderr
    assert result.stderr.count("\n") == 1


def test_url_that_is_given_needs_no_secrets(config: str) -> None:
    result = stumble("store", "migrate", "--database-url", "postgresql://127.0.0.1:1/x", STUMBLE_CONFIG=config)
    assert "127.0.0.1:1/x does not answer" in result.stderr
