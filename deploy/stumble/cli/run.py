"""``stumble run``: run all parts of stumble on this machine, as `make run` does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from stumble.local.stack import LocalStack, RunOptions

app = typer.Typer(add_completion=False)


def _default_state() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "stumble"


@app.command()
def run(
    state: Annotated[
        Path | None,
        typer.Option(
            envvar="STUMBLE_STATE_DIR", help="Folder for all data and logs.", show_default="~/.local/state/stumble"
        ),
    ] = None,
    instances: Annotated[int | None, typer.Option(min=1, help="Servers in the simulated fleet.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.0, help="Requests per second of the simulated fleet.")] = None,
    failures: Annotated[str | None, typer.Option(help="Failure mix; see: stumble simulate --help")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the fleet; the same seed generates the same events.")
    ] = None,
    simulate: Annotated[bool, typer.Option(help="Run a simulated fleet.")] = True,
    follow: Annotated[bool, typer.Option(help="Show failures as they arrive.")] = True,
) -> None:
    """Start Kafka, PostgreSQL, relay, projector, alerter, API and a simulated fleet; Ctrl-C stops them all.

    If STUMBLE_KAFKA__BOOTSTRAP_SERVERS or STUMBLE_DATABASE_URL is set, that service is used and none is started.

    Examples:

      stumble run --instances 500 --rate 20

      STUMBLE_DATABASE_URL=postgresql://db/stumble stumble run --no-simulate
    """
    stopping = _Stopping()
    options = RunOptions((state or _default_state()), instances, rate, failures, seed, simulate=simulate, follow=follow)
    try:
        LocalStack(options, _print_line).run()
    except KeyboardInterrupt:
        _print_line("\nStopped. The data is stored; the next run continues with it.")
    finally:
        stopping.restore()


def _print_line(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class _Stopping:
    """The first SIGINT, SIGTERM or SIGHUP stops in order; another one, more than a second later, ends the process.

    Signals within a second count as one: make, a terminal and a service manager often send two.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._handle) for number in signals}

    def restore(self) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            _print_line("\nStopping …")
            raise KeyboardInterrupt
        if now - self._first > 1.0:
            os._exit(128 + number)  # the child processes end with this process
