"""The hypervisor has lost the guest: every driver of Nova raises InstanceNotFound then, as it does when Nova deletes.

Only a delete that was requested before the failure makes it a cancellation; `midway` has those.
"""

from __future__ import annotations

from typing import Any

from novaharness import vocabulary as v
from novaharness.vocabulary import ANY_CLASS, HOST1, HOST2, Call, Expected, Fault, Kind, Scenario, driver, failed

_OPERATOR = ("OPERATOR", "UNKNOWN")
_SOFT_DELETE = {"reclaim_instance_interval": 3600}
_NOT_FOUND = (HOST1, "InstanceNotFound")


def _lost(method: str, host: str | None = None) -> Fault:
    """Return the fault of a guest that the hypervisor does not know any more."""
    return driver(method, "InstanceNotFound", host, instance_id="the-guest")


def _scenario(
    name: str, given: str, call: Call, expected: tuple[Expected, ...], *faults: Fault, **more: Any
) -> Scenario:
    return Scenario(name, given, call, expected, faults, kind=Kind.LOST_GUEST, **more)


def _failure(action: str, effect: str | None = "NONE", *failures: tuple[str, str]) -> tuple[Expected, ...]:
    return failed(action, *(failures or (_NOT_FOUND,)), effect=effect, blame=_OPERATOR)


_METHODS: tuple[tuple[str, Call, str, str, str], ...] = (
    ("active", v.STOP, "stop", "power_off", "NONE"),
    ("stopped", v.START, "start", "power_on", "NONE"),
    ("active", v.PAUSE, "pause", "pause", "NONE"),
    ("paused", v.UNPAUSE, "unpause", "unpause", "NONE"),
    ("active", v.SUSPEND, "suspend", "suspend", "ERROR"),
    ("suspended", v.RESUME, "resume", "resume", "ERROR"),
    ("rescued", v.UNRESCUE, "unrescue", "unrescue", "ERROR"),
    ("active", v.SHELVE, "shelve", "snapshot", "NONE"),
    ("active", v.CRASH_DUMP, "trigger_crash_dump", "trigger_crash_dump", "NONE"),
    ("active", v.ATTACH_VOLUME, "attach_volume", "attach_volume", "NONE"),
    ("with volume", v.DETACH_VOLUME, "detach_volume", "detach_volume", "NONE"),
    ("active", v.RESIZE, "resize", "migrate_disk_and_power_off", "ERROR"),
    ("resized", v.CONFIRM, "confirmResize", "confirm_migration", "ERROR"),
    ("resized", v.REVERT, "revertResize", "finish_revert_migration", "ERROR"),
)
"""Preparation, request, action, the driver's method, effect."""
_DELETED_AFTERWARDS = ("stop", "start", "suspend", "resume", "pause", "resize", "shelve", "attach_volume")
"""Actions of which the table also has the delete, seconds after the failure."""

SCENARIOS: tuple[Scenario, ...] = (
    *(
        _scenario(f"{action}: guest lost", given, call, _failure(action, effect), _lost(method))
        for given, call, action, method, effect in _METHODS
    ),
    *(
        _scenario(
            f"{action}: guest lost, then deleted",
            given,
            call,
            _failure(action, effect),
            _lost(method),
            after=(v.DELETE,),
        )
        for given, call, action, method, effect in _METHODS
        if action in _DELETED_AFTERWARDS
    ),
    _scenario(
        "stop: guest lost, then soft-deleted",
        "active",
        v.STOP,
        _failure("stop"),
        _lost("power_off"),
        after=(v.DELETE,),
        options=_SOFT_DELETE,
    ),
    _scenario(
        "rescue: guest lost",
        "active",
        v.RESCUE,
        failed("rescue", (HOST1, "InstanceNotRescuable"), effect="ERROR"),
        _lost("rescue"),
    ),
    _scenario(
        "rescue: guest lost, then deleted",
        "active",
        v.RESCUE,
        failed("rescue", (HOST1, "InstanceNotRescuable"), effect="ERROR"),
        _lost("rescue"),
        after=(v.DELETE,),
    ),
    _scenario(
        "reboot: guest lost, then deleted",
        "active",
        v.REBOOT_HARD,
        _failure("reboot", "ERROR"),
        Fault(
            "nova.virt.fake.FakeDriver.reboot",
            "nova.exception.InstanceNotFound",
            keywords={"instance_id": "the-guest"},
            does="guest dies",
        ),
        after=(v.DELETE,),
    ),
    _scenario(
        "rebuild: guest lost, then deleted",
        "active",
        v.REBUILD,
        _failure("rebuild", None),
        _lost("spawn"),
        after=(v.DELETE,),
    ),
    _scenario("rebuild: guest lost", "active", v.REBUILD, _failure("rebuild", None), _lost("spawn")),
    # Nova leaves the server in BUILD
    _scenario("create: guest lost", "nothing", v.CREATE, _failure("create", None), _lost("spawn")),
    _scenario(
        "create: guest lost, then deleted",
        "nothing",
        v.CREATE,
        _failure("create", None),
        _lost("spawn"),
        after=(v.DELETE,),
    ),
    _scenario(
        "live migration: guest lost",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        _failure("live-migration", "ERROR"),
        _lost("live_migration"),
    ),
    _scenario(
        "live migration: guest lost, then deleted",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        _failure("live-migration", "ERROR"),
        _lost("live_migration"),
        after=(v.DELETE,),
    ),
    _scenario(
        "extend_volume: guest lost",
        "with volume",
        v.EXTEND_VOLUME,
        _failure("extend_volume"),
        _lost("extend_volume"),
    ),
    _scenario(
        "changePassword: guest lost",
        "active",
        v.PASSWORD,
        _failure("changePassword", "NONE", (HOST1, ANY_CLASS)),  # inside InstancePasswordSetFailed
        _lost("set_admin_password"),
    ),
    _scenario(
        "resize: guest lost on the destination, then deleted",
        "active",
        v.RESIZE,
        _failure("resize", "ERROR", (HOST2, "InstanceNotFound")),
        _lost("finish_migration", HOST2),
        after=(v.DELETE,),
    ),
)
