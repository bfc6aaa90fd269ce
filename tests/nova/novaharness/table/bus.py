"""The message bus is unavailable when a service sends a message to another one."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    CONTROLLER,
    HOST1,
    HOST2,
    Call,
    Scenario,
    accepting_500,
    failed,
    without_bus,
)

_COMPUTE, _CONDUCTOR = "nova.compute.rpcapi.ComputeAPI", "nova.conductor.rpcapi.ComputeTaskAPI"
_UNAVAILABLE = "MessageDeliveryFailure"


def _cast(given: str, call: Call, action: str, where: str) -> Scenario:
    """Return the scenario of nova-api's cast of an action: the API records it, and then answers with HTTP 500."""
    expected = failed(action, (CONTROLLER, _UNAVAILABLE))
    return Scenario(f"{action}: the bus is gone", given, accepting_500(call), expected, without_bus(where))


_TO_COMPUTE: tuple[tuple[str, Call, str, str], ...] = (
    ("active", v.STOP, "stop", "stop_instance"),
    ("stopped", v.START, "start", "start_instance"),
    ("active", v.REBOOT_HARD, "reboot", "reboot_instance"),
    ("active", v.PAUSE, "pause", "pause_instance"),
    ("active", v.SUSPEND, "suspend", "suspend_instance"),
    ("active", v.RESCUE, "rescue", "rescue_instance"),
    ("active", v.SHELVE, "shelve", "shelve_instance"),
    ("active", v.SNAPSHOT, "createImage", "snapshot_instance"),
    ("active", v.BACKUP, "createBackup", "backup_instance"),
    ("active", v.CRASH_DUMP, "trigger_crash_dump", "trigger_crash_dump"),
    ("resized", v.CONFIRM, "confirmResize", "confirm_resize"),
    ("resized", v.REVERT, "revertResize", "revert_resize"),
    ("active", v.DELETE, "delete", "terminate_instance"),
    ("active", v.PASSWORD, "changePassword", "set_admin_password"),
    ("active", v.ATTACH_VOLUME, "attach_volume", "attach_volume"),
    ("with volume", v.DETACH_VOLUME, "detach_volume", "detach_volume"),
    ("active", v.ATTACH_PORT, "attach_interface", "attach_interface"),
)
_TO_CONDUCTOR: tuple[tuple[str, Call, str, str], ...] = (
    ("active", v.RESIZE, "resize", "migrate_server"),
    ("active", v.LIVE_MIGRATE, "live-migration", "live_migrate_instance"),
    ("active", v.REBUILD, "rebuild", "rebuild_instance"),
    ("shelved", v.UNSHELVE, "unshelve", "unshelve_instance"),
)

SCENARIOS: tuple[Scenario, ...] = (
    *(_cast(given, call, action, f"{_COMPUTE}.{name}") for given, call, action, name in _TO_COMPUTE),
    *(_cast(given, call, action, f"{_CONDUCTOR}.{name}") for given, call, action, name in _TO_CONDUCTOR),
    Scenario(
        "create: the bus is gone before anything is recorded",
        "nothing",
        accepting_500(v.CREATE),
        (),
        without_bus(f"{_CONDUCTOR}.schedule_and_build_instances"),
    ),
    Scenario(
        "create: the bus is gone between conductor and compute",
        "nothing",
        v.CREATE,
        failed("create", (CONTROLLER, _UNAVAILABLE)),
        without_bus(f"{_COMPUTE}.build_and_run_instance"),
    ),
    Scenario(
        "resize: the bus is gone between destination and source",
        "active",
        v.RESIZE,
        failed("resize", (HOST2, _UNAVAILABLE), effect="ERROR", verdict="MaxRetriesExceeded"),
        without_bus(f"{_COMPUTE}.resize_instance"),
    ),
    Scenario(
        "resize: the bus is gone between source and destination",
        "active",
        v.RESIZE,
        failed("resize", (HOST1, _UNAVAILABLE), effect="ERROR"),
        without_bus(f"{_COMPUTE}.finish_resize"),
    ),
    Scenario(
        "revertResize: the bus is gone between destination and source",
        "resized",
        v.REVERT,
        failed("revertResize", (HOST2, _UNAVAILABLE), effect="ERROR"),
        without_bus(f"{_COMPUTE}.finish_revert_resize"),
    ),
)
