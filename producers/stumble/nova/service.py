"""Determines the Nova binary of this process, of a step, or of the calling code."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final

_BINARIES: Final = frozenset(
    {"nova-api", "nova-compute", "nova-conductor", "nova-manage", "nova-metadata", "nova-scheduler", "nova-status"}
)
#: A WSGI server runs the API under the server's own process name.
_WSGI: Final = {
    "nova.wsgi.osapi_compute": "nova-api",
    "nova.wsgi.metadata": "nova-metadata",
}
_MODULES: Final = (
    ("nova.compute.manager", "nova-compute"),
    ("nova.conductor", "nova-conductor"),
    ("nova.scheduler.manager", "nova-scheduler"),
    ("nova.compute.api", "nova-api"),
    ("nova.api.", "nova-api"),
)
_MAX_FRAMES = 12


def of_process(conf: Any) -> str | None:
    """Return the binary's name, or None for another process (such as several services in one process)."""
    name = str(getattr(conf, "prog", None) or "").rpartition("/")[2]
    name = {"nova-api-wsgi": "nova-api", "nova-metadata-wsgi": "nova-metadata"}.get(name, name)
    if name in _BINARIES:
        return name
    for module, binary in _WSGI.items():
        if module in sys.modules:
            return binary
    return None


def of_step(step: Any) -> str:
    """Return the binary that runs a step, by the step's name."""
    name = str(step)
    if name.startswith("compute_"):
        return "nova-compute"
    return "nova-api" if name.startswith("api_") else "nova-conductor"


def of_caller(frame: FrameType | None) -> str | None:
    """Return the binary whose code is innermost on the stack, or None."""
    for _ in range(_MAX_FRAMES):
        if frame is None:
            break
        module = str(frame.f_globals.get("__name__", ""))
        for prefix, binary in _MODULES:
            if module.startswith(prefix):
                return binary
        frame = frame.f_back
    return None


def hypervisor_type(conf: Any) -> str | None:
    """Return the hypervisor type of a compute (``kvm``, ``vmwareapi``, ``ironic``), or None if it is not configured."""
    driver = conf.compute_driver if "compute_driver" in conf else None
    if not driver:
        return None
    name = str(driver).partition(".")[0]
    return str(conf.libvirt.virt_type) if name == "libvirt" else name
