"""How resizes, migrations and live migrations can end."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import CONTROLLER, HOST1, HOST2, Expected, Fault, Scenario, driver, failed, ok

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("resize works", "active", v.RESIZE, ok("resize"), tour=True),
    Scenario(
        "resize: no valid host",
        "active",
        v.RESIZE_HUGE,
        failed("resize", (CONTROLLER, "NoValidHost")),
        tour=True,
    ),
    Scenario(
        "resize: the only other host has no room",
        "active",
        v.RESIZE,
        failed("resize", (HOST2, "ComputeResourcesUnavailable"), verdict="MaxRetriesExceeded"),
        (
            Fault(
                "nova.compute.resource_tracker.ResourceTracker.resize_claim",
                "nova.exception.ComputeResourcesUnavailable",
                keywords={"reason": "no room"},
                host=HOST2,
            ),
        ),
    ),
    Scenario(
        "resize fails on the source",
        "active",
        v.RESIZE,
        failed("resize", (HOST1, "ResizeError"), effect="ERROR"),
        (driver("migrate_disk_and_power_off", "ResizeError", reason="disk copy broke off"),),
    ),
    Scenario(
        "resize fails on the source and is undone",
        "active",
        v.RESIZE,
        failed("resize", (HOST1, "ResizeError")),
        (
            Fault(
                "nova.virt.fake.FakeDriver.migrate_disk_and_power_off",
                "nova.exception.ResizeError",
                keywords={"reason": "no ssh to the other host"},
                does="rolled back",
            ),
        ),
    ),
    Scenario(
        "resize fails on the destination",
        "active",
        v.RESIZE,
        failed("resize", (HOST2, "HypervisorUnavailable"), effect="ERROR"),
        (driver("finish_migration", "HypervisorUnavailable", HOST2),),
    ),
    Scenario("migrate works", "active", v.MIGRATE, ok("migrate")),
    Scenario("confirmResize works", "resized", v.CONFIRM, ok("confirmResize")),
    Scenario(
        "confirmResize fails",
        "resized",
        v.CONFIRM,
        failed("confirmResize", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("confirm_migration", "HypervisorUnavailable"),),
    ),
    Scenario("revertResize works", "resized", v.REVERT, ok("revertResize")),
    Scenario(
        "revertResize fails on the source",
        "resized",
        v.REVERT,
        failed("revertResize", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("finish_revert_migration", "HypervisorUnavailable"),),
    ),
    Scenario("live migration works", "active", v.LIVE_MIGRATE, ok("live-migration"), tour=True),
    Scenario(
        "live migration rolls back",
        "active",
        v.LIVE_MIGRATE,
        (Expected("live-migration", "FAILED", ((HOST1, "LiveMigrationRolledBack"),), None, "NONE"),),
        (Fault("nova.virt.fake.FakeDriver.live_migration", does="job fails"),),
        tour=True,
    ),
    Scenario(
        "live migration: the driver raises",
        "active",
        v.LIVE_MIGRATE,
        failed("live-migration", (HOST1, "MigrationError"), effect="ERROR"),
        (driver("live_migration", "MigrationError", reason="connection refused"),),
    ),
    Scenario(
        "live migration: the destination refuses",
        "active",
        v.LIVE_MIGRATE,
        failed("live-migration", (HOST2, "MigrationPreCheckError"), verdict="MaxRetriesExceeded"),
        (driver("check_can_live_migrate_destination", "MigrationPreCheckError", HOST2, reason="CPU too old"),),
    ),
)
