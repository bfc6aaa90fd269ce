"""The command ``stumble``: one module a command, imported when that command is called."""

from __future__ import annotations

import sys

from stumble.deploy.cli.root import run

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    sys.exit(run(sys.argv[1:]))
