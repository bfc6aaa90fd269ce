"""The command ``stumble``: one module for each command, imported when that command is called.

Start reading at ``commands``. Imports ``alerts``, ``audit``, ``bridge``, ``capacity``, ``checks``, ``deadletters``,
``emitter``, ``explain``, ``ingest``, ``kafka``, ``local``, ``metrics``, ``outbox``, ``outcome``, ``projector``,
``provision``, ``relay``, ``runtime``, ``server``, ``settings``, ``signatures``, ``simulator``, ``store``, ``wire``.
"""

from __future__ import annotations

import io
import sys

from stumble.cli.root import run

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal whose encoding lacks a character shows `?`
    sys.exit(run(sys.argv[1:]))
