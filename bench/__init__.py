"""Benchmarks against peers: `make bench`, or `python -m bench` in the repository's folder."""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("stumble") is None:  # not installed: run from the source folder
    sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("schemas", "producers", "consumers", "deploy")]
