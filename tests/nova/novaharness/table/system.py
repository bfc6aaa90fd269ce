"""Requests of Nova's periodic tasks, and moves between cells."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    HOST1,
    HOST3,
    Expected,
    Fault,
    Kind,
    Scenario,
    driver,
    failed,
    ok,
)

_CONFIRM_WINDOW = {"resize_confirm_window": 1}
_RECLAIM_INTERVAL = {"reclaim_instance_interval": 1}
_OFFLOAD_TIME = {"shelved_offload_time": 1}
_OTHER_CELL = "migrated to the other cell"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "confirmResize by periodic task works",
        "resized",
        v.PERIODIC_CONFIRM,
        ok("confirmResize"),
        options=_CONFIRM_WINDOW,
        before=(v.WAIT_ONE_SECOND,),
    ),
    Scenario(
        "confirmResize by periodic task fails",
        "resized",
        v.PERIODIC_CONFIRM,
        failed("confirmResize", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("confirm_migration", "HypervisorUnavailable"),),
        options=_CONFIRM_WINDOW,
        before=(v.WAIT_ONE_SECOND,),
    ),
    Scenario(
        "delete by periodic task works",
        "active",
        v.PERIODIC_RECLAIM,
        ok("delete"),
        options=_RECLAIM_INTERVAL,
        before=(v.DELETE, v.WAIT_ONE_SECOND),
    ),
    Scenario(
        "delete by periodic task fails",
        "active",
        v.PERIODIC_RECLAIM,
        (Expected("delete", "IN_PROGRESS"),),  # Nova only logs the failure; it tries again
        (driver("destroy", "InstanceTerminationFailure", reason="the guest can't be stopped"),),
        options=_RECLAIM_INTERVAL,
        before=(v.DELETE, v.WAIT_ONE_SECOND),
    ),
    Scenario(
        "shelveOffload by periodic task works",
        "active",
        v.PERIODIC_OFFLOAD,
        ok("shelveOffload"),
        options=_OFFLOAD_TIME,
        before=(v.SHELVE, v.WAIT_ONE_SECOND),
    ),
    Scenario(
        "shelveOffload by periodic task fails",
        "active",
        v.PERIODIC_OFFLOAD,
        failed("shelveOffload", (HOST1, "HypervisorUnavailable")),
        (driver("destroy", "HypervisorUnavailable"),),
        options=_OFFLOAD_TIME,
        before=(v.SHELVE, v.WAIT_ONE_SECOND),
    ),
    Scenario("migrate to another cell works", "active", v.MIGRATE_TO_OTHER_CELL, ok("migrate")),
    Scenario(
        "migrate to another cell: the destination has no room",
        "active",
        v.MIGRATE_TO_OTHER_CELL,
        failed("migrate", (HOST3, "MigrationPreCheckError")),
        (
            Fault(
                "nova.compute.resource_tracker.ResourceTracker.resize_claim",
                "nova.exception.ComputeResourcesUnavailable",
                keywords={"reason": "no room"},
                host=HOST3,
            ),
        ),
    ),
    Scenario(
        "migrate to another cell fails on the source",
        "active",
        v.MIGRATE_TO_OTHER_CELL,
        failed("migrate", (HOST1, "InstancePowerOffFailure")),
        (driver("power_off", "InstancePowerOffFailure", HOST1, reason="the guest does not react"),),
    ),
    Scenario(
        "migrate to another cell fails on the destination",
        "active",
        v.MIGRATE_TO_OTHER_CELL,
        failed("migrate", (HOST3, "HypervisorUnavailable"), effect="ERROR"),
        (driver("spawn", "HypervisorUnavailable", HOST3),),
    ),
    Scenario("confirmResize across cells works", _OTHER_CELL, v.CONFIRM, ok("confirmResize")),
    Scenario(
        "confirmResize across cells fails on the source",
        _OTHER_CELL,
        v.CONFIRM,
        failed("confirmResize", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("cleanup", "HypervisorUnavailable", HOST1),),
    ),
    Scenario("revertResize across cells works", _OTHER_CELL, v.REVERT, ok("revertResize")),
    Scenario(
        "revertResize across cells fails on the destination",
        _OTHER_CELL,
        v.REVERT,
        failed("revertResize", (HOST3, "HypervisorUnavailable"), effect="ERROR"),
        (driver("destroy", "HypervisorUnavailable", HOST3),),
    ),
    Scenario(
        "revertResize across cells fails on the source",
        _OTHER_CELL,
        v.REVERT,
        failed("revertResize", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("finish_revert_migration", "HypervisorUnavailable", HOST1),),
    ),
    Scenario(
        "the window for confirming ends after the server's state was reset",
        "resized",
        v.PERIODIC_CONFIRM,
        (),  # the task marks the migration as error: no request of anybody
        options=_CONFIRM_WINDOW,
        before=(v.RESET_TO_ACTIVE, v.WAIT_ONE_SECOND, v.WAIT_ONE_SECOND),
        kind=Kind.BOOKKEEPING,
    ),
    Scenario(
        "the window for confirming ends for a server in ERROR",
        "resized",
        v.PERIODIC_CONFIRM,
        (),
        options=_CONFIRM_WINDOW,
        before=(v.RESET_STATE, v.WAIT_ONE_SECOND, v.WAIT_ONE_SECOND),
        kind=Kind.BOOKKEEPING,
    ),
    Scenario(
        "files of a failed resize are removed after the server is deleted",
        "active",
        v.RESIZE,
        (),
        (driver("migrate_disk_and_power_off", "ResizeError", reason="disk copy broke off"),),
        after=(v.DELETE, v.PERIODIC_CLEAN_UP_DESTINATION),
        judged="after",
        kind=Kind.BOOKKEEPING,
    ),
    Scenario(
        "power states are compared, nothing differs",
        "active",
        v.PERIODIC_POWER_STATES,
        (),
        kind=Kind.BOOKKEEPING,
    ),
    Scenario(
        "unrescue by periodic task works",
        "rescued",
        v.PERIODIC_UNRESCUE,
        ok("unrescue"),
        options={"rescue_timeout": 1},
        before=(v.WAIT_ONE_SECOND, v.WAIT_ONE_SECOND),
        kind=Kind.BOOKKEEPING,
    ),
    Scenario(
        "unrescue by periodic task fails",
        "rescued",
        v.PERIODIC_UNRESCUE,
        failed("unrescue", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("unrescue", "HypervisorUnavailable"),),
        options={"rescue_timeout": 1},
        before=(v.WAIT_ONE_SECOND, v.WAIT_ONE_SECOND),
        kind=Kind.BOOKKEEPING,
    ),
)
