"""Find the command, run it, and turn each error into one sentence and an exit status.

Only the standard library is imported here: the base install, which Nova's hosts have, has no typer.
"""

from __future__ import annotations

import codecs
import difflib
import importlib.metadata
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

from stumble.cli.commands import COMMANDS, LazyCommand
from stumble.runtime.error_texts import explain_error, install_hint
from stumble.wire.errors import StumbleError
from stumble.wire.masking import mask_secrets
from stumble.wire.text import printable_text

__all__ = ["run"]

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
_ASCII_CODEC = "stumble_ascii"
#: What stumble's own texts contain, for an output that is not UTF-8; other characters are escaped.
_ASCII = {"→": "->", "…": "...", **dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True))}
#: Set by the shell when it asks for completions (typer's convention).
_COMPLETE = "_STUMBLE_COMPLETE"


def run(argv: Sequence[str], commands: Sequence[LazyCommand] = COMMANDS) -> int:
    """Run ``stumble ARGV`` and return its exit status."""
    _accept_any_encoding()
    table = {command.name: command for command in commands}
    if os.environ.get(_COMPLETE):
        return _guarded([], table)
    if not argv or argv[0] in {"-h", "--help", "help"}:
        return _show(_help(commands))
    if argv[0] in {"-V", "--version", "version"}:
        return _show(f"stumble {_version()}\n")
    if argv[0] not in table:
        return _report_error(
            f"there is no command {argv[0]!r}{_hint(argv[0], list(table))}; see: stumble --help", _USAGE
        )
    return _guarded(argv, table)


def _accept_any_encoding() -> None:
    """Replace what the encoding of the output lacks: a locale such as C must not end a command."""
    codecs.register_error("stumble", _replace_characters)
    codecs.register(_find_codec)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=_ASCII_CODEC if is_ascii else None, errors="stumble")


def _find_codec(name: str) -> codecs.CodecInfo | None:
    """Return the ASCII codec under another name: click ignores an encoding of that name, and writes UTF-8."""
    if name != _ASCII_CODEC:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode,
        known.decode,
        known.streamreader,
        known.streamwriter,
        known.incrementalencoder,
        known.incrementaldecoder,
        name=_ASCII_CODEC,
    )


def _replace_characters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    escape = "".join(_ASCII.get(item) or item.encode("ascii", "backslashreplace").decode() for item in characters)
    return escape, error.end


def _guarded(argv: Sequence[str], table: Mapping[str, LazyCommand]) -> int:
    try:
        return _call(argv, table)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the process that reads the output has closed the pipe
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # the interpreter flushes it at exit
        return _FAILED
    except Exception as error:  # noqa: BLE001  # only here: operators get one sentence, no traceback
        if os.environ.get("STUMBLE_DEBUG", "0") not in {"", "0"}:
            sys.stderr.write(mask_secrets(traceback.format_exc()))
        return _report_error(explain_error(error), _FAILED)


def _call(argv: Sequence[str], table: Mapping[str, LazyCommand]) -> int:
    try:
        from stumble.cli.group import LazyGroup  # noqa: PLC0415  # typer is an extra

        LazyGroup(table)(list(argv), prog_name="stumble")
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        return _report_error(mask_secrets(str(stop.code)), _FAILED)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "stumble" or not argv:
            raise
        command = table[argv[0]]
        raise StumbleError(
            f"`stumble {command.name}` needs {missing}, which is not installed here; {install_hint(command.extra)}"
        ) from error
    return 0


def _version() -> str:
    try:
        return importlib.metadata.version("stumble")
    except importlib.metadata.PackageNotFoundError:
        return "(run from its source folder)"


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _report_error(sentence: str, status: int) -> int:
    sys.stderr.write(f"stumble: {printable_text(sentence)}\n")
    return status


def _show(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _help(commands: Sequence[LazyCommand]) -> str:
    lines = ["Usage: stumble COMMAND [OPTIONS]", "", "Shows which actions on Nova servers failed, and why."]
    section = ""
    for command in commands:
        if command.section != section:
            section = command.section
            lines += ["", f"{section}:"]
        lines.append(f"  {command.name:<15}{command.help}")
    lines += ["", "Examples:", *_EXAMPLES, ""]
    return "\n".join(lines)


_EXAMPLES = (
    "  stumble failures --since 1h --blame CAPACITY   failures of the last hour for lack of capacity",
    "  stumble wait REQUEST_ID && echo worked         exit status 0: the request succeeded",
    "  stumble COMMAND --help                         options and examples of a command",
    '  eval "$(_STUMBLE_COMPLETE=source_bash stumble)"  completion in bash; also source_zsh, source_fish',
)
