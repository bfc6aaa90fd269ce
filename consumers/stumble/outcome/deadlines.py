"""Deadlines: how long a request may have no event before it is stalled, by action, each with its basis in Nova.

A deadline bounds the time between two events of one request, not the request's whole duration. Where Nova has
time-outs for the work between two events, the deadline is longer than their sum; where Nova waits without a limit
(copies of disks and memory), the reason states it and the figure is an estimate.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from stumble.outcome.rules import ACTIONS
from stumble.wire.errors import StumbleError

MINUTE: Final = 60
HOUR: Final = 3600

#: Options of nova.conf, their defaults in seconds (or times), and where Nova's code defines them.
OPTIONS: Final[Mapping[str, tuple[int, str]]] = {
    "rpc_response_timeout": (60, "oslo.messaging, rpc/client.py"),
    "long_rpc_timeout": (1800, "nova/conf/rpc.py"),
    "shutdown_timeout": (60, "nova/conf/compute.py"),
    "vif_plugging_timeout": (300, "nova/conf/compute.py"),
    "arq_binding_timeout": (300, "nova/conf/compute.py"),
    "block_device_allocate_retries": (60, "nova/conf/compute.py"),
    "block_device_allocate_retries_interval": (3, "nova/conf/compute.py"),
    "reimage_timeout_per_gb": (20, "nova/conf/compute.py"),
    "libvirt.wait_soft_reboot_seconds": (120, "nova/conf/libvirt.py"),
    "libvirt.device_detach_attempts": (8, "nova/conf/libvirt.py"),
    "libvirt.device_detach_timeout": (20, "nova/conf/libvirt.py"),
    "libvirt.images_rbd_glance_copy_timeout": (600, "nova/conf/libvirt.py"),
    "libvirt.live_migration_completion_timeout": (800, "nova/conf/libvirt.py"),
}


@dataclass(frozen=True, slots=True)
class Deadline:
    """Seconds allowed without an event. They must exceed the sum of ``terms``, each a number times options' values."""

    seconds: int
    terms: tuple[tuple[int, tuple[str, ...]], ...]
    why: str

    def allowed(self) -> int:
        """Return the sum of Nova's own time-outs with their defaults, in seconds."""
        total = 0
        for times, options in self.terms:
            product = times
            for option in options:
                product *= OPTIONS[option][0]
            total += product
        return total


def _once(*options: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return tuple((1, (option,)) for option in options)


_VOLUMES: Final = (1, ("block_device_allocate_retries", "block_device_allocate_retries_interval"))
_DETACH: Final = (1, ("libvirt.device_detach_attempts", "libvirt.device_detach_timeout"))

_RECORD = Deadline(15 * MINUTE, _once("rpc_response_timeout"), "nova-api does the work itself, immediately")
_POWER = Deadline(
    20 * MINUTE,
    _once("shutdown_timeout", "libvirt.wait_soft_reboot_seconds", "vif_plugging_timeout"),
    "a guest shuts down, ports are plugged; `os_shutdown_timeout` of an image may allow more time",
)
_QUICK = Deadline(20 * MINUTE, _once("rpc_response_timeout"), "one call to the hypervisor")
_MEMORY = Deadline(HOUR, _once("vif_plugging_timeout"), "the guest's memory is copied to or from disk: no time-out")
_GUEST = Deadline(HOUR, _once("shutdown_timeout", "vif_plugging_timeout"), "a rescue image is fetched: no time-out")
_DELETE = Deadline(HOUR, (*_once("shutdown_timeout"), _DETACH), "volumes are detached, disks wiped: no time-out")
_DEVICE = Deadline(
    HOUR, (*_once("long_rpc_timeout"), _DETACH, *_once("vif_plugging_timeout")), "the API or compute waits for the call"
)
_BUILD = Deadline(
    2 * HOUR,
    (_VOLUMES, *_once("vif_plugging_timeout", "arq_binding_timeout", "long_rpc_timeout")),
    "the image is fetched and converted: no time-out unless `instance_build_timeout` is set",
)
_REBUILD = Deadline(
    2 * HOUR,
    ((100, ("reimage_timeout_per_gb",)), *_once("shutdown_timeout", "vif_plugging_timeout")),
    "the image is fetched: no time-out; Cinder reimages a root volume (100 GiB)",
)
_MOVE = Deadline(
    4 * HOUR,
    (_VOLUMES, *_once("shutdown_timeout", "vif_plugging_timeout", "long_rpc_timeout")),
    "disks are copied between hosts: no time-out. A request that waits in VERIFY_RESIZE has ended",
)
_MOVE_END = Deadline(
    HOUR,
    _once("shutdown_timeout", "vif_plugging_timeout", "long_rpc_timeout"),
    "the guest on the source host is started again",
)
_SNAPSHOT = Deadline(
    4 * HOUR,
    _once("libvirt.images_rbd_glance_copy_timeout", "shutdown_timeout"),
    "the disk is copied and uploaded: no time-out",
)
_LIVE = Deadline(
    24 * HOUR,
    ((100, ("libvirt.live_migration_completion_timeout",)), *_once("long_rpc_timeout", "vif_plugging_timeout")),
    "800 s per GiB of memory and disk to copy, here 100 GiB, without any event",
)
_COPY = Deadline(8 * HOUR, _once("long_rpc_timeout"), "a volume is copied: no time-out")

_GROUPS: Final[tuple[tuple[Deadline, str], ...]] = (
    (_RECORD, "lock unlock resetState refresh_volume_attachment"),
    (_POWER, "stop start reboot"),
    (_QUICK, "pause unpause changePassword trigger_crash_dump live_migration_cancel live_migration_force_complete"),
    (_MEMORY, "suspend resume"),
    (_GUEST, "rescue unrescue"),
    (_DELETE, "delete restore shelveOffload"),
    (
        _DEVICE,
        "attach_interface detach_interface attach_volume detach_volume attach_share detach_share extend_volume",
    ),
    (_BUILD, "create unshelve"),
    (_REBUILD, "rebuild evacuate"),
    (_MOVE, "resize migrate"),
    (_MOVE_END, "confirmResize revertResize"),
    (_SNAPSHOT, "shelve createBackup createImage"),
    (_LIVE, "live-migration"),
    (_COPY, "swap_volume"),
)

#: Each action's deadline, by its name in Nova.
DEADLINES: Final[Mapping[str, Deadline]] = {action: one for one, actions in _GROUPS for action in actions.split()}
#: Deadline of an action that this release does not know, in seconds.
UNKNOWN: Final = 24 * HOUR
OTHER: Final = "other"


class DeadlineError(StumbleError):
    """A configured deadline is invalid."""


def effective_deadlines(configured: Mapping[str, float]) -> dict[str, float]:
    """Return the deadline of each action and of `other`, in seconds: the configured one, else that of this table.

    Names are compared without case, `-` and `_`, because environment variables cannot spell Nova's names. Raises
    `DeadlineError` for a name that is not an action.
    """
    result: dict[str, float] = {action: float(one.seconds) for action, one in DEADLINES.items()} | {OTHER: UNKNOWN}
    spelled = {_plain(action): action for action in result}
    for name, seconds in configured.items():
        action = spelled.get(_plain(name))
        if action is None:
            raise DeadlineError(
                f"The setting clock.deadlines names {name}, which is not an action of Nova; "
                f"use one of {', '.join(sorted(ACTIONS))}, or {OTHER} for actions that stumble does not know."
            )
        result[action] = float(seconds)
    return result


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def format_duration(seconds: float) -> str:
    """Return a duration as text: ``1 hour``, ``20 minutes``, ``90 seconds``."""
    for unit, name in ((HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= unit and seconds % unit == 0:
            number = int(seconds // unit)
            return f"{number} {name}" if number == 1 else f"{number} {name}s"
    return f"{seconds:g} second" + ("" if seconds == 1 else "s")


_HEADER: Final = (
    "| actions | stalled after | options of nova.conf that it exceeds | work without events |\n|---|---|---|---|\n"
)


def _sum(terms: Iterable[tuple[int, tuple[str, ...]]]) -> str:
    products = []
    for times, options in terms:
        factors = [f"`{option}` ({OPTIONS[option][0]})" for option in options]
        products.append(" * ".join(factors + ([str(times)] if times != 1 else [])))
    return " + ".join(products)


def deadline_table() -> str:
    """Return the deadlines as a Markdown table."""
    rows = [_HEADER]
    rows += [
        f"| {', '.join(actions.split())} | {format_duration(one.seconds)} | {_sum(one.terms)} | {one.why} |\n"
        for one, actions in _GROUPS
    ]
    rows.append(f"| any other | {format_duration(UNKNOWN)} | - | this release does not know the action |\n")
    return "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(deadline_table())
