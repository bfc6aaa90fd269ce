"""`stumble check configuration`: secrets are found by the values of settings, and no advice stops a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from stumble.checks.configuration import check_configuration
from stumble.checks.model import CheckContext, CheckLevel, CheckResult
from stumble.settings.base import load_settings
from tests.support.services import ROOT


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that checks a file with the given text, readable for everybody, by (level, subject)."""
    tmp_path.chmod(0o755)

    def run(text: str) -> dict[tuple[CheckLevel, str], CheckResult]:
        path = tmp_path / "stumble.toml"
        path.write_text(text)
        path.chmod(0o644)
        monkeypatch.setenv("STUMBLE_CONFIG", str(path))
        results = check_configuration(CheckContext(load_settings()))
        return {(item.level, item.subject.replace(str(tmp_path), ".")): item for item in results}

    return run


@pytest.mark.parametrize("name", ["stumble.toml", "relay.toml"])
def test_shipped_file_that_every_user_may_read_is_fine(check, name: str) -> None:
    results = check((ROOT / "deploy/systemd" / name).read_text())
    assert results[CheckLevel.FINE, "./stumble.toml"].says == "contains no secrets"
    assert not [key for key in results if key[0] is CheckLevel.WRONG]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('database_url = "postgresql://stumble:pw4711@db/stumble"', "database_url"),
        ('database_url = "host=db user=stumble password=pw4711"', "database_url"),
        ('[kafka.options]\n"sasl.password" = "pw4711"', "kafka.options.sasl.password"),
        ('[kafka]\nschema_registry_password = "pw4711"', "kafka.schema_registry_password"),
        ('[[bridge.transports]]\nname = "bus"\nurl = "rabbit://nova:pw4711@mq/"', "bridge.transports.url"),
        (f'subscription_keys = "{"A" * 43}="', "subscription_keys"),
    ],
)
def test_secret_in_a_file_that_every_user_may_read_is_named_without_its_value(check, text: str, setting: str) -> None:
    result = check(text)[CheckLevel.WRONG, "./stumble.toml"]
    assert result.says == f"every user of this host can read {setting} in it"
    assert result.todo.startswith("move it to a file of its own in the secrets directory")
    assert "pw4711" not in f"{result}"


def test_secret_in_a_directory_that_others_may_not_enter_is_fine(check, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    (folder / "database_url").write_text("postgresql://stumble:pw4711@db/stumble")
    (folder / "database_url").chmod(0o644)
    text = f'secrets_dir = "{folder}"'
    assert (CheckLevel.FINE, "./secrets/database_url") in check(text)
    folder.chmod(0o755)
    assert "chmod 600" in check(text)[CheckLevel.WRONG, "./secrets/database_url"].todo


def test_words_of_secrets_without_a_secret_are_no_fault(check, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    text = f"""
        # password = "x", postgresql://stumble:PASSWORD@db/stumble
        secrets_dir = "{tmp_path / "secrets"}"
        database_url = "postgresql://stumble@db/stumble?passfile=/etc/stumble/pgpass"
        [kafka]
        schema_registry_url = "https://registry.example.org/"
        [kafka.options]
        "ssl.key.location" = "/etc/ssl/private/kafka.pem"
        "sasl.username" = "secretary"
    """
    results = check(text)
    assert results[CheckLevel.FINE, "./stumble.toml"].says == "contains no secrets"


def test_secret_file_that_every_user_may_read_is_given_to_the_service_before_its_mode_changes(
    check, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "database_url").write_text("postgresql://stumble:pw4711@db/stumble")
    (folder / "database_url").chmod(0o644)
    todo = check(f'secrets_dir = "{folder}"')[CheckLevel.WRONG, "./secrets/database_url"].todo
    assert todo.index("chown") < todo.index("chmod 600")


def test_secrets_directory_that_cannot_be_read_is_a_warning(check, tmp_path: Path) -> None:
    results = check(f'secrets_dir = "{tmp_path / "absent"}"')
    assert "run the command as root" in results[CheckLevel.WARNING, "./absent"].todo
