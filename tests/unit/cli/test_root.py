"""The root of the command line: exit statuses, one sentence for each error, no unneeded imports."""

from __future__ import annotations

import subprocess
import sys
import types

import httpx
import psycopg
import pytest
import typer

from stumble.cli.commands import COMMANDS, LazyCommand
from stumble.cli.root import run
from stumble.runtime.error_texts import explain_error
from stumble.wire.errors import StumbleError
from tests.support.services import cli_environment


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch):
    """Run ``stumble probe`` whose body is the given function."""

    def runner(body, *argv: str) -> int:
        app = typer.Typer(add_completion=False)
        app.command()(body)
        module = types.ModuleType("probe_command")
        vars(module)["app"] = app
        monkeypatch.setitem(sys.modules, "probe_command", module)
        return run(["probe", *argv], [LazyCommand("X", "probe", "probe_command:app", "relay", "probe")])

    return runner


def fail_with(error: BaseException):
    def body() -> None:
        raise error

    return body


def test_success_exits_with_0(call) -> None:
    assert call(lambda: None) == 0


def test_wrong_usage_exits_with_2(call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(lambda: None, "--no-such-option") == 2
    assert "no-such-option" in capsys.readouterr().err


def test_exit_status_of_a_command_is_returned(call) -> None:
    assert call(fail_with(typer.Exit(5))) == 5


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StumbleError("the outbox is full, free some space"), "the outbox is full, free some space"),
        (psycopg.OperationalError("connection refused"), "STUMBLE_DATABASE_URL"),
        (psycopg.errors.UndefinedTable('relation "requests" does not exist'), "stumble store migrate"),
        (httpx.ConnectError("refused"), "--api"),
        (ValueError("what\nis this"), "unexpected ValueError: what is this"),
    ],
)
def test_error_prints_one_sentence_and_exits_with_1(
    call, capsys: pytest.CaptureFixture[str], error: Exception, words: str
) -> None:
    assert call(fail_with(error)) == 1
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_DEBUG", "1")
    assert call(fail_with(StumbleError("no"))) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_exits_with_130(call) -> None:
    assert call(fail_with(KeyboardInterrupt())) == 130


def test_unknown_command_suggests_a_similar_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["falures"]) == 2
    assert "did you mean 'failures'" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command.name} " in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_command_on_a_base_install_names_the_missing_extra(command: LazyCommand, tmp_path) -> None:
    """Without typer: ``-S`` hides all installed packages; the source roots stay importable."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "stumble.cli", command.name],
        env=cli_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"pip install -r {command.extra}.txt" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_the_terminal_lacks_are_printed_as_question_marks(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stumble.cli", "run", "--help"],
        env=cli_environment(PYTHONIOENCODING=encoding), capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--state" in done.stdout


def complete(words: str, position: int) -> list[str]:
    environment = cli_environment(_STUMBLE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(position))
    command = [sys.executable, "-m", "stumble.cli"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "position", "completed"),
    [
        ("stumble off", 1, ["offsets"]),
        ("stumble re", 1, ["request", "relay", "rederive", "replay"]),
        ("stumble dlq le", 2, ["let-through"]),
        ("stumble failures --bl", 2, ["--blame"]),
    ],
)
def test_shell_completes_commands_subcommands_and_options(words: str, position: int, completed: list[str]) -> None:
    assert complete(words, position) == completed


def test_settings_error_names_the_setting() -> None:
    from pydantic import BaseModel, ValidationError

    class Settings(BaseModel):
        api_port: int

    with pytest.raises(ValidationError) as caught:
        Settings(api_port="eighty")
    assert "api_port" in explain_error(caught.value)
    assert "\n" not in explain_error(caught.value)


@pytest.mark.parametrize(
    ("into", "message"),
    [
        ("postgresql://me:canary@127.0.0.1:1/copy", "127.0.0.1:1/copy does not answer"),
        ("postgresql://me:canary@[/copy", "--into is not a valid PostgreSQL URL"),
    ],
)
def test_replay_into_an_unusable_database_names_the_option(
    into: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", "--into", into]) == 1
    stderr = capsys.readouterr().err
    assert message in stderr
    assert "--into" in stderr
    assert "STUMBLE_DATABASE_URL" not in stderr
    assert "canary" not in stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_in_any_encoding_has_every_character_or_its_replacement(encoding: str) -> None:
    environment = cli_environment() | {"PYTHONIOENCODING": encoding}
    command = "import typer; typer.echo('→ … é 日'); typer.echo('→', err=True)"
    program = (
        "import sys, types, typer; from stumble.cli.commands import LazyCommand; from stumble.cli.root import run;"
        "app = typer.Typer(add_completion=False); module = types.ModuleType('probe_command'); module.app = app;"
        f"sys.modules['probe_command'] = module; app.command()(lambda: exec({command!r}));"
        "sys.exit(run(['probe'], [LazyCommand('X', 'probe', 'probe_command:app', 'relay', 'probe')]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    expected = {"ascii": "-> ... \\xe9 \\u65e5", "latin-1": "-> ... é \\u65e5", "utf-8": "→ … é 日"}[encoding]
    assert result.stdout.decode(encoding).rstrip() == expected
