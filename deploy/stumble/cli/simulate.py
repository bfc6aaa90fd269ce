"""`stumble simulate`: generate events of a simulated fleet whose requests succeed and fail."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from stumble.settings.base import load_settings
from stumble.simulator import (
    Disturbance,
    Item,
    Runner,
    SimulationReport,
    SimulatorError,
    Stream,
    StreamSettings,
    benchmark,
)
from stumble.simulator.clock import Pacer
from stumble.simulator.mix import Mix
from stumble.simulator.parser import all_stories
from stumble.simulator.poison import Poisoner
from stumble.simulator.story import StoryError

if TYPE_CHECKING:
    from stumble.emitter import Emitter

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_PACED_RATE = 5.0
_BATCH_RATE = 300.0
_MICROS = 1_000_000


@app.command()
def simulate(
    instances: Annotated[int, typer.Option(min=1, help="Servers in the fleet.")] = 1000,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Requests per second; without --events until stopped.  [default: 5]")
    ] = None,
    failures: Annotated[
        str, typer.Option(help="Share of requests with a failure, and weights: 0.2,stop=9,create.rescheduled=30")
    ] = "0.1",
    seed: Annotated[int, typer.Option(help="The same seed and --start give the same bytes at any speed.")] = 1,
    events: Annotated[
        int | None, typer.Option(min=1, help="Start no request after this many events; without --rate, at full speed.")
    ] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Start no request after this many seconds.")] = None,
    start: Annotated[str | None, typer.Option(help="Time of the first event, ISO 8601.  [default: now]")] = None,
    truth: Annotated[Path | None, typer.Option(help="File for the truth: one JSON line per request.")] = None,
    outbox_dir: Annotated[
        Path | None, typer.Option(help="Outbox directory to write to.  [env: STUMBLE_OUTBOX_DIR]")
    ] = None,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of events that are sent twice.")] = 0.01,
    disorder: Annotated[float, typer.Option(min=0, max=1, help="Share of events that are sent late.")] = 0.02,
    skew: Annotated[float, typer.Option(min=0, help="Largest clock error of a host, in milliseconds.")] = 20.0,
    storm_every: Annotated[
        float, typer.Option(min=0, help="Seconds between storms of failures with one cause; 0: none.")
    ] = 0.0,
    poison: Annotated[
        int, typer.Option(min=0, help="Send a bad record to Kafka each time after so many events; 0: none.")
    ] = 0,
    benchmark_stream: Annotated[
        str | None,
        typer.Option(help="Benchmark stream to write: mixed or success; uses only --truth and --outbox-dir besides."),
    ] = None,
    list_stories: Annotated[bool, typer.Option("--list", help="List the stories that the simulator can play.")] = False,
) -> None:
    """Generate events of a simulated fleet, and write them to the outbox of this host.

    For example:

    stumble simulate --rate 20 --truth truth.jsonl

    stumble simulate --events 100000 --seed 7 --start 2026-01-01 --failures 0.3,stop=50
    """
    if list_stories:
        _list()
        return
    if benchmark_stream:
        _run(_benchmark(benchmark_stream), None, truth, outbox_dir, None)
        return
    share, weights = _failures(failures)
    mean = _mean(share, weights)
    paced = rate is not None or events is None
    settings = StreamSettings(
        seed=seed,
        start_us=_start(start),
        instances=instances,
        rate=(rate or (_PACED_RATE if paced else _BATCH_RATE)) * mean,
        failures=share,
        weights=weights,
        events=events,
        seconds=duration,
        skew_ms=skew,
        disturbance=Disturbance(duplicates, disorder),
        storm_every=storm_every,
    )
    _run(Stream(settings), settings.start_us if paced else None, truth, outbox_dir, (poison, seed) if poison else None)


def _run(
    items: Stream | Iterator[Item],
    paced_from_us: int | None,
    truth: Path | None,
    outbox_dir: Path | None,
    poison: tuple[int, int] | None,
) -> None:
    settings = load_settings(outbox_dir=outbox_dir)
    stop = Event()
    with ExitStack() as stack:
        stack.enter_context(_stopped_by_signal(stop))
        poisoner = Poisoner(settings.kafka, *poison) if poison else None
        runner = Runner(
            sink=_emitter(settings.outbox_dir),
            truth=stack.enter_context(_opened(truth)) if truth else None,
            pacer=Pacer(paced_from_us, stop.wait) if paced_from_us is not None else None,
            stop=stop,
            after=poisoner.after if poisoner else None,
        )
        report = runner.run(items)
        if poisoner and (left := poisoner.close()):
            raise SimulatorError(
                f"Kafka did not accept {left} of the poison records: check that the broker is available."
            )
    _print_report(report, poisoner.sent if poisoner else 0)


def _emitter(outbox_dir: Path) -> Emitter:
    from stumble.emitter import Emitter  # noqa: PLC0415 -- --list and --help need no outbox

    return Emitter(outbox_dir, service="stumble-simulator", host="simulator")


def _print_report(report: SimulationReport, poison: int) -> None:
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(report.outcomes.items())) or "none complete"
    typer.echo(f"{report.accepted} events accepted; requests: {outcomes}", err=True)
    if poison:
        typer.echo(f"{poison} poison records sent", err=True)


def _list() -> None:
    for story in all_stories():
        requests = ", ".join(f"{request.action} {request.outcome}" for request in story.requests)
        typer.echo(f"{story.name:<28}{story.weight:>5g}  {requests}")


def _benchmark(kind: str) -> Iterator[Item]:
    if kind not in {"mixed", "success"}:
        raise typer.BadParameter("give mixed or success", param_hint="--benchmark-stream")
    return benchmark.benchmark_items(success=kind == "success")


def _failures(text: str) -> tuple[float, dict[str, float]]:
    share, weights = 0.1, {}
    try:
        for part in text.split(","):
            name, _, weight = part.strip().rpartition("=")
            if name:
                weights[name] = float(weight)
            else:
                share = float(weight)
    except ValueError:
        raise typer.BadParameter(f"{part!r} is neither a share nor NAME=WEIGHT", param_hint="--failures") from None
    if not 0 <= share <= 1 or any(weight < 0 for weight in weights.values()):
        raise typer.BadParameter("the share must be from 0 to 1, weights must be 0 or more", param_hint="--failures")
    return share, weights


def _mean(share: float, weights: dict[str, float]) -> float:
    try:
        return Mix(share, weights).mean_events()
    except StoryError as error:
        raise typer.BadParameter(str(error), param_hint="--failures") from None


def _start(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1000
    try:
        result = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a valid ISO 8601 time", param_hint="--start") from None
    return int((result if result.tzinfo else result.replace(tzinfo=UTC)).timestamp() * _MICROS)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise SimulatorError(f"Cannot write the truth to {path}: {error.strerror}.") from error
    with file:
        yield file


@contextmanager
def _stopped_by_signal(stop: Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the run after the current event."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
