"""Neither errors nor logs show the secrets of the settings."""

from __future__ import annotations

import logging

import pytest

from stumble.cli.logs import configure_logging
from stumble.cli.root import run
from stumble.settings.base import Settings
from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry
from stumble.wire.errors import RegistryUnavailable, StumbleError
from stumble.wire.schemas import EVENT

_SECRET = "Qv7zK4"


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("failures", "STUMBLE_API_URL", "http://u:{}@127.0.0.1:9"),
        ("failures", "STUMBLE_API_URL", "http://u:{0}/{0}@127.0.0.1:9"),
        ("failures", "STUMBLE_API_URL", "htp://u:{0} {0}@127.0.0.1:9"),
        ("store migrate", "STUMBLE_DATABASE_URL", "postgresql://st:{}@127.0.0.1:9/x?connect_timeout=1"),
        ("store migrate", "STUMBLE_DATABASE_URL", "postgresql://st:{0}/{0}@127.0.0.1:9/x"),
        ("store migrate", "STUMBLE_DATABASE_URL", "postgresql://st:12/{}@127.0.0.1:9/x?connect_timeout=1"),
        ("store migrate", "STUMBLE_DATABASE_URL", "postgresql://st:x@{}@127.0.0.1:9/x?connect_timeout=1"),
        ("store migrate", "STUMBLE_DATABASE_URL", "postgresql://st:{}%zz@127.0.0.1:9/x"),
        ("store migrate", "STUMBLE_DATABASE_URL", "st:{}@127.0.0.1/x"),
        ("store migrate", "STUMBLE_DATABASE_URL", "host=127.0.0.1 port=9 password='{} x' connect_timeout=1"),
        ("tail", "STUMBLE_KAFKA__OPTIONS", '{{"sasl.password": ["{}"]}}'),
        ("tail", "STUMBLE_KAFKA__OPTIONS", '{{"sasl.pasword": "{}"}}'),
        ("tail", "STUMBLE_KAFKA__OPTIONS", '{{"sasl.password": "{}"'),
    ],
)
@pytest.mark.parametrize("debug", ["0", "1"])
def test_error_of_a_command_shows_no_secret_of_a_setting(
    command: str,
    variable: str,
    value: str,
    debug: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value.format(_SECRET))
    monkeypatch.setenv("STUMBLE_DEBUG", debug)
    assert run(command.split()) == 1
    captured = capsys.readouterr()
    assert "stumble: " in captured.err
    assert _SECRET not in captured.err + captured.out


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_log_shows_no_secret_of_a_message_or_a_traceback(
    log_format: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    configure_logging(Settings(log_format=log_format))
    error = ValueError(f"cannot use amqp://nova:{_SECRET}@rabbit1/")
    logging.getLogger("stumble.probe").error("refused: %s", f"password='{_SECRET} x'", exc_info=error)
    text = capsys.readouterr().err
    assert "refused" in text
    assert "rabbit1" in text
    assert _SECRET not in text


def test_text_of_an_error_that_quotes_a_library_has_no_secret() -> None:
    error = StumbleError(f"Kafka at b1 refuses the connection: sasl.password={_SECRET}.")
    assert str(error).startswith("Kafka at b1 refuses the connection: sasl.password=***")


def test_error_of_the_registry_shows_no_password() -> None:
    url = f"http://u:{_SECRET}/{_SECRET}@127.0.0.1:9/apis"
    with pytest.raises(RegistryUnavailable) as caught:
        Registry(KafkaSettings(schema_registry_url=url)).register("x", EVENT)
    assert "127.0.0.1:9" in str(caught.value)
    assert _SECRET not in str(caught.value)
