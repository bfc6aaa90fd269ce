"""Driver, tap and tables of names against real Nova: cases that run in Nova's own environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parent / "in_nova"


@pytest.mark.parametrize("cases", ["driver_cases", "names_cases", "tap_cases"])
def test_in_nova(nova_python: Path, cases: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CASES), "PYTHONWARNINGS": "ignore"}
    command = [str(nova_python), "-m", "unittest", "--quiet", cases]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-6000:]
