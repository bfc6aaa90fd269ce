"""Exceptions that one host raises and another gets as the answer of a call: one failure, on the host that raised it."""

from __future__ import annotations

from typing import Any

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    ANY_CLASS,
    CONTROLLER,
    HOST1,
    HOST2,
    HOST3,
    Call,
    Expected,
    Fault,
    Kind,
    Scenario,
    failed,
    raising,
)

_DRIVER = "nova.virt.fake.FakeDriver"
_LIBVIRT = "novaharness.foreign.libvirtError"
_FOREIGN = ("client socket", "Traceback")
"""Text of the foreign exception, and that with which RPC passes its traceback on."""


def _scenario(
    name: str, given: str, call: Call, expected: tuple[Expected, ...], *faults: Fault, **more: Any
) -> Scenario:
    return Scenario(name, given, call, expected, faults, kind=Kind.REMOTE, **more)


def _libvirt(method: str, host: str) -> Fault:
    """Return the fault of a class that oslo.messaging does not rebuild: the caller gets a RemoteError."""
    return Fault(f"{_DRIVER}.{method}", _LIBVIRT, ("internal error: client socket is closed",), host=host)


SCENARIOS: tuple[Scenario, ...] = (
    _scenario(
        "live migration: libvirt fails while the source is checked",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST1, "libvirtError"), verdict="NoValidHost", reason_lacks=_FOREIGN),
        _libvirt("check_can_live_migrate_source", HOST1),
    ),
    _scenario(
        "live migration: libvirt fails while the destination is checked",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST2, "libvirtError"), effect="ERROR", reason_lacks=_FOREIGN),
        _libvirt("check_can_live_migrate_destination", HOST2),
    ),
    _scenario(
        "live migration: libvirt fails while the destination prepares",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST2, "libvirtError"), reason_lacks=_FOREIGN),
        _libvirt("pre_live_migration", HOST2),
    ),
    _scenario(
        "live migration: libvirt fails while the destination takes over",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST2, "libvirtError"), effect="ERROR"),
        _libvirt("post_live_migration_at_destination", HOST2),
    ),
    _scenario(
        "live migration: the destination does not answer the check",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (CONTROLLER, "NoValidHost")),  # the conductor only logs why it tries the next host
        raising(
            "nova.compute.rpcapi.ComputeAPI.check_can_live_migrate_destination",
            "oslo_messaging.exceptions.MessagingTimeout",
            "Timed out waiting for a reply to message ID 1",
        ),
    ),
    _scenario(
        "changePassword: libvirt fails",
        "active",
        v.PASSWORD,
        failed("changePassword", (HOST1, ANY_CLASS), blame=("OPERATOR", "UNKNOWN")),  # inside InstancePasswordSetFailed
        _libvirt("set_admin_password", HOST1),
    ),
    _scenario(
        "attach_interface: libvirt fails",
        "active",
        v.ATTACH_PORT,
        failed("attach_interface", (HOST1, "libvirtError")),
        _libvirt("attach_interface", HOST1),
    ),
    _scenario(
        "create: the scheduler fails with an exception that is not Nova's",
        "nothing",
        v.CREATE,
        failed("create", (CONTROLLER, "RuntimeError"), effect="ERROR"),
        raising("nova.scheduler.manager.SchedulerManager._schedule", "builtins.RuntimeError", "secret of the host"),
    ),
    _scenario(
        "resize: the scheduler fails with an exception that is not Nova's",
        "active",
        v.RESIZE,
        failed("resize", (CONTROLLER, "RuntimeError")),
        raising("nova.scheduler.manager.SchedulerManager._schedule", "builtins.RuntimeError", "secret of the host"),
    ),
    _scenario(
        "migrate to another cell: libvirt fails on the source",
        "active",
        v.MIGRATE_TO_OTHER_CELL,
        failed("migrate", (HOST1, ANY_CLASS)),  # inside InstancePowerOffFailure
        _libvirt("power_off", HOST1),
    ),
    _scenario(
        "migrate to another cell: libvirt fails on the destination",
        "active",
        v.MIGRATE_TO_OTHER_CELL,
        failed("migrate", (HOST3, "libvirtError"), effect="ERROR"),
        _libvirt("spawn", HOST3),
    ),
    _scenario(
        "confirmResize across cells: libvirt fails on the source",
        "migrated to the other cell",
        v.CONFIRM,
        failed("confirmResize", (HOST1, "libvirtError"), effect="ERROR"),
        _libvirt("cleanup", HOST1),
    ),
)
