"""Driver, tap and tables of names with real Nova: cases that run in Nova's own environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parent / "in_nova"
TAP = "tap_cases tap_service_cases tap_undone_cases"


@pytest.mark.parametrize(
    ("cases", "native"),
    [("driver_cases", False), ("names_cases", False), (TAP, False), (TAP, True)],
)
def test_cases_pass_in_novas_environment(nova_python: Path, cases: str, native: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CASES), "PYTHONWARNINGS": "ignore"}
    if native:  # native threads instead of eventlet's green ones
        environment["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
    command = [str(nova_python), "-m", "unittest", "--quiet", *cases.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-6000:]
