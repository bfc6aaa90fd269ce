"""A command in this process: what `stumble …` prints and its exit status, without a new interpreter each time."""

from __future__ import annotations

import contextlib
import io
import os
from typing import NamedTuple
from unittest import mock

from stumble.cli.root import run


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def stumble(*arguments: str, **environment: str) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "170", **environment}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = run(arguments)
    return Ended(status, out.getvalue(), err.getvalue())
