"""``stumble run``: the whole of stumble on this machine, as `make run` starts it."""

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
            envvar="STUMBLE_STATE_DIR", help="Folder of all data and logs.", show_default="~/.local/state/stumble"
        ),
    ] = None,
    instances: Annotated[int | None, typer.Option(min=1, help="Servers of the simulated fleet.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.0, help="Requests a second that it makes.")] = None,
    failures: Annotated[str | None, typer.Option(help="Failure mix; see: stumble simulate --help")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the fleet; the same seed makes the same events.")] = None,
    simulate: Annotated[bool, typer.Option(help="Feed a simulated fleet.")] = True,
    follow: Annotated[bool, typer.Option(help="Show failures as they come in.")] = True,
) -> None:
    """Start Kafka, PostgreSQL, relay, projector, alerter, API and a simulated fleet; Ctrl-C stops them all.

    STUMBLE_KAFKA__BOOTSTRAP_SERVERS or STUMBLE_DATABASE_URL given: that one is used and none started.

    Examples:

      stumble run --instances 500 --rate 20

      STUMBLE_DATABASE_URL=postgresql://db/stumble stumble run --no-simulate
    """
    stopping = _Stopping()
    options = RunOptions((state or _default_state()), instances, rate, failures, seed, simulate=simulate, follow=follow)
    try:
        LocalStack(options, _say).run()
    except KeyboardInterrupt:
        _say("\nStopped. What was recorded is kept; the next run takes it up.")
    finally:
        stopping.restore()


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class _Stopping:
    """The first SIGINT, SIGTERM or SIGHUP asks for an orderly stop; one more, a second later, for a hard one.

    Within a second they count as one: make, a terminal and a service manager like to send two.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._handle) for number in signals}

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            _say("\nStopping …")
            raise KeyboardInterrupt
        if now - self._first > 1.0:
            os._exit(128 + number)  # the children die with us
