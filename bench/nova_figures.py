"""What driver and tap add to Nova's own CPU time, on real Nova in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench import jobs
from bench.report import Report

_VERSION = "33.0.2"
#: Requests that work, and requests that fail: creates, power actions and a resize.
_WORKING = ("create works", "stop works", "start works", "reboot works", "resize works")
_FAILING = ("stop fails", "both hosts fail", "resize fails on the source")


def measure(report: Report, *, runs: int) -> None:
    """Measure the share of stumble in Nova's CPU time, in percent, inside one process that plays all services."""
    folder = jobs.ROOT / f".venv-nova-{_VERSION}"
    command = [sys.executable, str(jobs.ROOT / "scripts" / "nova_env.py"), "--nova", _VERSION, "--venv", str(folder)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    python = folder / "bin" / "python"
    for name, scenarios in (("nova_cpu_percent_success", _WORKING), ("nova_cpu_percent_failure", _FAILING)):
        found = [_share(python, scenarios) for _ in range(runs)]
        report.add(name, [100 * one for one in found], "<= 2")


def _share(python: Path, scenarios: tuple[str, ...]) -> float:
    with tempfile.TemporaryDirectory(prefix="stumble-bench-") as outbox:
        words = [word for name in scenarios for word in ("--only", name)]
        found = jobs.nova(python, "--cost", "--stumble", f"outbox_dir={outbox}/outbox", *words)
    return float(found["cost"]["share"])
