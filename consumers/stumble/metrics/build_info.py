"""`stumble_build_info`: which version of stumble and of Python a process runs."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from stumble.metrics.definitions import BUILD_INFO

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def add_build_info(registry: CollectorRegistry, role: str) -> None:
    """Add the metric to the registry of a process; `role` is the command that runs it, such as `relay`."""
    try:
        version = metadata.version("stumble")
    except metadata.PackageNotFoundError:
        version = "unknown"
    gauge = Gauge(BUILD_INFO.name, BUILD_INFO.help, BUILD_INFO.labels, registry=registry)
    gauge.labels(version, platform.python_version(), role).set(1)
