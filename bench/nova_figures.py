"""The CPU time that driver and tap add to Nova, on real Nova in its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import jobs
from bench.report import Report

_VERSION = "33.0.2"
#: Requests that work, and requests that fail: creates, power actions and a resize.
_WORKING = ("create works", "stop works", "start works", "reboot works", "resize works")
_FAILING = ("stop fails", "create: both hosts fail", "resize fails on the source")


def measure(report: Report, *, runs: int, rounds: int) -> None:
    """Measure the CPU time that stumble adds to Nova, in one process that runs all services.

    First its share in all of Nova's CPU time, in percent. Then, for API requests and for compute actions, the
    difference to the same requests without stumble, run by turns `rounds` times in the same process: CPU time in
    percent and microseconds, and the ratio of the median latencies.
    """
    folder = jobs.ROOT / f".venv-nova-{_VERSION}"
    command = [sys.executable, str(jobs.ROOT / "scripts" / "nova_env.py"), "--nova", _VERSION, "--venv", str(folder)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    python = folder / "bin" / "python"
    for name, scenarios in (("nova_cpu_percent_success", _WORKING), ("nova_cpu_percent_failure", _FAILING)):
        found = [_share(python, scenarios) for _ in range(runs)]
        report.add(name, [100 * one for one in found], "<= 2")
    for kind, scenarios in (("success", _WORKING), ("failure", _FAILING)):
        compared = [_compared(python, scenarios, rounds) for _ in range(runs)]
        for side in ("api", "compute"):
            of_side = [one[side] for one in compared]
            report.add(f"nova_{side}_cpu_percent_{kind}", [100 * one["share"] for one in of_side], "<= 2")
            report.add(f"nova_{side}_added_us_{kind}", [one["added_us"] for one in of_side])
            report.add(f"nova_{side}_added_us_p99_{kind}", [one["added_us_p99"] for one in of_side])
            report.add(f"nova_{side}_cpu_us_without_{kind}", [one["cpu_us_without"] for one in of_side])
            report.add(f"nova_{side}_latency_ratio_{kind}", [one["latency_ratio"] for one in of_side])


def _compared(python: Path, scenarios: tuple[str, ...], rounds: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
        names = Path(folder) / "names.json"
        names.write_text(json.dumps(scenarios))
        words = ("--stumble", f"outbox_dir={folder}/outbox", "--names", str(names), "--compare", str(rounds))
        found = jobs.nova(python, *words)
    compared: dict[str, dict[str, float]] = found["compare"]
    return compared


def _share(python: Path, scenarios: tuple[str, ...]) -> float:
    with tempfile.TemporaryDirectory(prefix="stumble-bench-") as outbox:
        words = [word for name in scenarios for word in ("--only", name)]
        found = jobs.nova(python, "--cost", "--stumble", f"outbox_dir={outbox}/outbox", *words)
    return float(found["cost"]["share"])
