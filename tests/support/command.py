"""Runs `stumble …` in this process; returns its output and exit status without starting an interpreter."""

from __future__ import annotations

import contextlib
import io
import os
from typing import NamedTuple
from unittest import mock

from stumble.cli.root import run


class CommandResult(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def stumble(*arguments: str, **environment: str) -> CommandResult:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "170", **environment}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = run(arguments)
    return CommandResult(status, out.getvalue(), err.getvalue())
