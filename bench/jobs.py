"""Run a job in its own process; it reports one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROOTS = os.pathsep.join(str(ROOT / name) for name in ("schemas", "producers", "consumers", "deploy", "."))
AVSC = ROOT / "schemas/stumble/wire/avsc/instance-action-event.v1.avsc"


class JobError(Exception):
    """A job failed; the text ends with its output."""


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of stumble: the benchmarks set their own."""
    keep = {"STUMBLE_CACHE_DIR"}
    return {key: value for key, value in os.environ.items() if not key.startswith("STUMBLE_") or key in keep}


def peer(python: Path, name: str, *arguments: str) -> dict[str, Any]:
    """Run a peer in its own environment."""
    return _run([str(python), str(ROOT / "bench" / "peers" / f"{name}.py"), *arguments], {})


def ours(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 900
) -> dict[str, Any]:
    """Run one of stumble's jobs under this Python with this environment, for `timeout` seconds at most."""
    command = [sys.executable, "-m", f"bench.ours.{name}", *arguments]
    return _run(command, {"PYTHONPATH": ROOTS, **(environment or {})}, timeout)


def nova(python: Path, *arguments: str) -> dict[str, Any]:
    """Run the harness of real Nova in Nova's environment; return the JSON of its last line."""
    environment = {"PYTHONPATH": str(ROOT / "tests" / "nova"), "PYTHONWARNINGS": "ignore"}
    return _run([str(python), "-m", "novaharness", *arguments], environment)


def command(*words: str, **environment: str) -> str:
    """Run a `stumble` command to its end; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "stumble.cli", *words],
        check=False,
        capture_output=True,
        text=True,
        env={**clean_environment(), "PYTHONPATH": ROOTS, **environment},
        cwd=ROOT,
    )
    if done.returncode:
        raise JobError(f"stumble {' '.join(words)} failed: {done.stderr[-1000:]}")
    return done.stdout


def _run(command: list[str], environment: dict[str, str], timeout: float = 900) -> dict[str, Any]:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**clean_environment(), **environment},
        cwd=ROOT,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise JobError(
            f"{' '.join(command[:3])} failed ({done.returncode}):\n{done.stderr[-2000:]}{done.stdout[-500:]}"
        )
    found: dict[str, Any] = json.loads(lines[-1])
    return found
