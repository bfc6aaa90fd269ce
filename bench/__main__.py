"""`python -m bench`: measure, print a line `name value` for each figure, write JSON with the peers' versions.

python -m bench              everything; about half an hour on two cores
python -m bench --quick      a tenth of the events, one run: for an impression, not to quote
python -m bench --only emit  one of the parts that --help lists; may be repeated
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import (
    alert_figures,
    audit_figures,
    emit_figures,
    growth_figures,
    hostile_figures,
    metrics_figures,
    nova_figures,
    projector_figures,
    relay_figures,
    scale_figures,
    signature_figures,
)
from bench.environment import peers_python, versions
from bench.report import Report
from bench.stack import Stack, stack

_PARTS = (
    *("projector", "success", "emit", "relay", "latency", "full", "audit", "growth"),
    *("scale", "metrics", "alert", "signatures", "hostile", "nova"),
)
_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run the parts asked for; 0 if every goal is met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks against peers, in one run.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, one run")
    parser.add_argument("--only", action="append", choices=_PARTS, help="this part; may be repeated")
    parser.add_argument("--runs", type=int, help="runs of each figure (3)")
    parser.add_argument("--events", type=int, help="events of the projector's and the relay's figures (200000)")
    parser.add_argument("--state", type=Path, default=_ROOT / ".state" / "bench", help="folder to work in")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    asked = parser.parse_args()
    parts = asked.only or [part for part in _PARTS if not (asked.quick and part in ("full", "growth"))]
    runs = asked.runs or (1 if asked.quick else 3)
    count = asked.events or (20_000 if asked.quick else 200_000)
    report = Report(peers=versions())
    python = peers_python(asked.state)
    _warn_if_busy()
    with stack(asked.state) as running:
        _run(report, running, python, parts, runs=runs, count=count, quick=asked.quick)
    path = asked.json or _ROOT / "bench" / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    report.write(path)
    print(f"# written to {path}", file=sys.stderr)
    missed = report.missed()
    for line in missed:
        print(f"# missed: {line}", file=sys.stderr)
    return 1 if missed and not asked.quick else 0


def _run(report: Report, running: Stack, python: Path, parts: list[str], *, runs: int, count: int, quick: bool) -> None:
    calls = 2000 if quick else 20_000

    def projector(*, success: bool) -> None:
        projector_figures.measure(report, running, python, runs=runs, count=count, success=success)

    def emit() -> None:
        emit_figures.measure(report, running, python, runs=runs, count=calls)
        emit_figures.broker_down(report, running, runs=runs, count=calls)

    measures: dict[str, Callable[[], object]] = {
        "projector": lambda: projector(success=False),
        "success": lambda: projector(success=True),
        "relay": lambda: relay_figures.measure(report, running, runs=runs, count=count),
        "latency": lambda: relay_figures.latency(report, running, runs=runs, seconds=5 if quick else 30),
        "full": lambda: projector_figures.full_store(report, running, runs=runs, count=count, stored=15 * count),
        "audit": lambda: audit_figures.measure(report, running, runs=runs, count=count),
        "growth": lambda: growth_figures.measure(report, running, python, count=5 * count, write=not quick),
        "emit": emit,
        "scale": lambda: scale_figures.measure(report, running, count=count),
        "alert": lambda: alert_figures.measure(report, running, runs=runs, count=10 if quick else 100),
        "metrics": lambda: metrics_figures.measure(report, running, runs=runs),
        "signatures": lambda: signature_figures.measure(report, running, runs=runs, count=count),
        "hostile": lambda: hostile_figures.measure(report, running, runs=runs, count=count),
        "nova": lambda: nova_figures.measure(report, runs=runs, rounds=2 if quick else 10),
    }
    for name in parts:
        measures[name]()


def _warn_if_busy() -> None:
    load = os.getloadavg()[0]
    if load > 0.5 * (os.cpu_count() or 1):
        print(f"# the machine is busy (load {load:.1f}): figures will be worse", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
