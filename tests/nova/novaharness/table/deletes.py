"""A server in ERROR is deleted: the delete ends nothing that had failed before. Decides ways without the tap most."""

from __future__ import annotations

from dataclasses import replace

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    CONTROLLER,
    HOST1,
    HOST2,
    Expected,
    Fault,
    Kind,
    Scenario,
    driver,
    failed,
    spawn,
)

_SCENARIOS = (
    Scenario(
        "create on a named host fails",
        "nothing",
        v.CREATE_ON_HOST1,
        failed("create", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (spawn("HypervisorUnavailable"),),
    ),
    Scenario(
        "create: both hosts fail",
        "nothing",
        v.CREATE,
        failed(
            "create",
            (HOST1, "HypervisorUnavailable"),
            (HOST2, "DiskNotFound"),
            effect="ERROR",
            verdict="MaxRetriesExceeded",
        ),
        (spawn("HypervisorUnavailable", HOST1), spawn("DiskNotFound", HOST2, location="/var/lib/nova/base")),
    ),
    Scenario(
        "create: no valid host", "nothing", v.CREATE_HUGE, failed("create", (CONTROLLER, "NoValidHost"), effect="ERROR")
    ),
    Scenario(
        "live migration: the driver raises",
        "active",
        v.LIVE_MIGRATE,
        failed("live-migration", (HOST1, "MigrationError"), effect="ERROR"),
        (driver("live_migration", "MigrationError", reason="connection refused"),),
    ),
    Scenario(
        "resize fails on the source",
        "active",
        v.RESIZE,
        failed("resize", (HOST1, "ResizeError"), effect="ERROR"),
        (driver("migrate_disk_and_power_off", "ResizeError", reason="disk copy broke off"),),
    ),
    Scenario(
        "rebuild fails on the host",
        "active",
        v.REBUILD,
        failed("rebuild", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (spawn("HypervisorUnavailable"),),
    ),
    Scenario(
        "stop fails",
        "active",
        v.STOP,
        failed("stop", (HOST1, "InstancePowerOffFailure")),
        (driver("power_off", "InstancePowerOffFailure", reason="the guest does not react"),),
    ),
    Scenario(
        "createImage fails",
        "active",
        v.SNAPSHOT,
        failed("createImage", (HOST1, "HypervisorUnavailable")),
        (driver("snapshot", "HypervisorUnavailable"),),
    ),
)

SCENARIOS: tuple[Scenario, ...] = (
    replace(_SCENARIOS[0], kind=Kind.DELETED_IN_ERROR),
    *(
        replace(one, name=f"{one.name}, then deleted", after=(v.DELETE,), kind=Kind.DELETED_IN_ERROR)
        for one in _SCENARIOS
    ),
    Scenario(
        "create fails while a delete waits for it",
        "nothing",
        v.CREATE,
        (Expected("create", "CANCELLED", ((HOST1, "HypervisorUnavailable"),)),),
        (
            Fault(
                "nova.virt.fake.FakeDriver.spawn",
                "nova.exception.HypervisorUnavailable",
                does="asks midway",
                asks=(v.DELETE,),
                times=1,
            ),
        ),
        kind=Kind.DELETED_IN_ERROR,
    ),
)
