"""Runs `stumble …` in this process, without starting an interpreter; other programs as processes that a test owns."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from stumble.cli.root import run


class CommandResult(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def stumble(*arguments: str, **environment: str) -> CommandResult:
    """Run a command; returns its exit status and output."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "170", **environment}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = run(arguments)
    return CommandResult(status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def running(arguments: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a program; it is killed at the end of the block, also when the test fails."""
    with subprocess.Popen(arguments, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()
