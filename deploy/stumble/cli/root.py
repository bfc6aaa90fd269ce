"""Find the command, run it, and turn whatever goes wrong into one sentence and an exit status.

Nothing but the standard library is imported here: the base install, which is what Nova gets, has no typer.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from stumble.cli.commands import COMMANDS, LazyCommand
from stumble.runtime.explain import explain
from stumble.wire.errors import StumbleError

__all__ = ["run"]

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


def run(argv: Sequence[str], commands: Sequence[LazyCommand] = COMMANDS) -> int:
    """Run ``stumble ARGV`` and return its exit status."""
    known = {command.name: command for command in commands}
    if not argv or argv[0] in {"-h", "--help", "help"}:
        return _show(_help(commands))
    if argv[0] in {"-V", "--version", "version"}:
        return _show(f"stumble {_version()}\n")
    if argv[0] not in known:
        return _complain(f"there is no command {argv[0]!r}{_hint(argv[0], list(known))}; see: stumble --help", _USAGE)
    return _guarded(known[argv[0]], argv[1:])


def _guarded(command: LazyCommand, argv: Sequence[str]) -> int:
    try:
        return _call(command, argv)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # the interpreter flushes it at exit
        return _FAILED
    except Exception as error:  # noqa: BLE001  # the one place where a traceback is kept from the operator
        if os.environ.get("STUMBLE_DEBUG", "0") not in {"", "0"}:
            traceback.print_exc()
        return _complain(explain(error), _FAILED)


def _call(command: LazyCommand, argv: Sequence[str]) -> int:
    click_command = _load(command)
    try:
        click_command(list(argv), prog_name=f"stumble {command.name}")
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        return _complain(str(stop.code), _FAILED)
    return 0


def _load(command: LazyCommand) -> Callable[..., Any]:
    module, _, attribute = command.target.partition(":")
    try:
        import typer  # noqa: PLC0415  # an extra
        from typer.main import get_command  # noqa: PLC0415

        target = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "stumble":
            raise
        raise StumbleError(
            f"`stumble {command.name}` needs {missing}, which isn't installed here; "
            f"install it with: pip install 'stumble[{command.extra}]'"
        ) from error
    if isinstance(target, typer.Typer):
        return get_command(target)
    app = typer.Typer(add_completion=False)
    app.command(help=target.__doc__)(target)
    return get_command(app)


def _version() -> str:
    try:
        return importlib.metadata.version("stumble")
    except importlib.metadata.PackageNotFoundError:
        return "(run from its source folder)"


def _hint(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _complain(sentence: str, status: int) -> int:
    sys.stderr.write(f"stumble: {sentence}\n")
    return status


def _show(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _help(commands: Sequence[LazyCommand]) -> str:
    lines = ["Usage: stumble COMMAND [OPTIONS]", "", "What went wrong with the actions on your Nova servers."]
    section = ""
    for command in commands:
        if command.section != section:
            section = command.section
            lines += ["", f"{section}:"]
        lines.append(f"  {command.name:<15}{command.help}")
    lines += ["", "Examples:", *_EXAMPLES, ""]
    return "\n".join(lines)


_EXAMPLES = (
    "  stumble failures --since 1h --blame CAPACITY   what had no room in the last hour",
    "  stumble wait REQUEST_ID && echo worked         did it work? the exit status knows",
    "  stumble COMMAND --help                         options and examples of a command",
)
