"""How long a caller of `emit` waits, compared with oslo.messaging's own Kafka driver, also while servers are down."""

from __future__ import annotations

import json
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from bench import jobs
from bench.report import Report
from bench.roles import Role, role
from bench.stack import Stack
from bench.stream import events, whole

_PROCESSES = 8
#: Seconds between calls when eight processes share the cores; without a pause the scheduler would be measured.
_PAUSE = 0.002


def measure(report: Report, stack: Stack, python: Path, *, runs: int, count: int) -> None:
    """Measure `runs` times with `count` calls each, the peer and stumble in turn."""
    with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
        told = Path(folder) / "events.jsonl"
        told.write_text("".join(json.dumps(event) + "\n" for event in whole(events(success=False, count=count))))
        stack.topic("bench-notifications.info", 1)
        peer, ours = [], []
        for _ in range(runs):
            peer.append(_peer(python, stack, told))
            with ExitStack() as with_relay:
                outbox = _outbox(folder)
                with_relay.enter_context(_relay(stack, outbox, Path(folder)))
                ours.append(_emit(outbox, count))
        _add(report, "emit", ours)
        report.add("emit_oslo_p50_us", [_percentile(run, 50) for run in peer])
        report.add("emit_oslo_p99_us", [_percentile(run, 99) for run in peer])
        pairs = zip(ours, peer, strict=True)
        ratio = [_percentile(own, 50) / _percentile(other, 50) for own, other in pairs]
        report.add("emit_p50_ratio_to_oslo", ratio, "<= 0.6")
        _add(report, "emit_relay_down", [_emit(_outbox(folder), count) for _ in range(runs)])
        _add(report, "emit_8_processes", [_together(_outbox(folder), count // 4) for _ in range(runs)])


def broker_down(report: Report, stack: Stack, *, runs: int, count: int) -> None:
    """Measure with a relay and without a broker; then start Kafka again for the parts that follow."""
    stack.kafka.stop()
    try:
        with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
            outbox = _outbox(folder)
            with _relay(stack, outbox, Path(folder)):
                _add(report, "emit_broker_down", [_emit(outbox, count) for _ in range(runs)])
    finally:
        stack.kafka.start()


def _add(report: Report, name: str, runs: list[list[int]]) -> None:
    report.add(f"{name}_p50_us", [_percentile(run, 50) for run in runs])
    report.add(f"{name}_p99_us", [_percentile(run, 99) for run in runs], "<= 300")


def _relay(stack: Stack, outbox: Path, folder: Path) -> AbstractContextManager[Role]:
    return role(
        "relay",
        folder / "relay.log",
        STUMBLE_OUTBOX_DIR=str(outbox),
        STUMBLE_RELAY_HOSTS="*",
        STUMBLE_STATE_DIR=str(folder / "relay"),
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS=stack.kafka.bootstrap_servers,
        STUMBLE_KAFKA__TOPIC_PREFIX="emit-",
    )


def _outbox(folder: str) -> Path:
    return Path(tempfile.mkdtemp(prefix="outbox-", dir=folder))


def _emit(outbox: Path, count: int, pause: float = 0.0) -> list[int]:
    found: list[int] = jobs.ours("emit", str(outbox), str(count), str(pause))["nanoseconds"]
    return found


def _together(outbox: Path, count: int) -> list[int]:
    with ThreadPoolExecutor(_PROCESSES) as pool:
        runs = list(pool.map(lambda _: _emit(outbox, count, _PAUSE), range(_PROCESSES)))
    return [taken for run in runs for taken in run]


def _peer(python: Path, stack: Stack, told: Path) -> list[int]:
    arguments = (stack.kafka.bootstrap_servers, "bench-notifications", str(told), "0")
    found: list[int] = jobs.peer(python, "oslo_emit", *arguments)["nanoseconds"]
    return found


def _percentile(nanoseconds: list[int], percent: int) -> float:
    return statistics.quantiles(nanoseconds, n=100)[percent - 1] / 1000
