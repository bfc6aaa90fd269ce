"""The table: every way for an action to end that is exercised on real Nova, one line each."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    CONTROLLER,
    HOST1,
    HOST2,
    Expected,
    Fault,
    Scenario,
    driver,
    spawn,
)


def ok(action: str) -> tuple[Expected, ...]:
    """Return the record of a request that just works."""
    return (Expected(action, "SUCCEEDED"),)


def failed(
    action: str,
    *failures: tuple[str, str],
    effect: str = "NONE",
    verdict: str | None = None,
) -> tuple[Expected, ...]:
    """Return the record of a failed request."""
    return (Expected(action, "FAILED", failures, verdict, effect),)


UNREACHABLE = {"where": "nova.volume.cinder.API.attachment_update", "host": HOST1}
NO_PASSWORD = {"instance": "the-server", "reason": "the agent does not answer"}

SCENARIOS: tuple[Scenario, ...] = (
    # create
    Scenario("create works", "nothing", v.CREATE, ok("create"), tour=True),
    Scenario(
        "create: no valid host",
        "nothing",
        v.CREATE_HUGE,
        failed("create", (CONTROLLER, "NoValidHost"), effect="ERROR"),
        tour=True,
    ),
    Scenario(
        "create: host1 fails, host2 succeeds",
        "nothing",
        v.CREATE,
        (Expected("create", "RECOVERED", ((HOST1, "HypervisorUnavailable"),), None, "NONE"),),
        (spawn("HypervisorUnavailable", HOST1),),
        tour=True,
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
        tour=True,
    ),
    Scenario(
        "create: the network fails, no retry",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "VirtualInterfaceCreateException"), effect="ERROR"),
        (spawn("VirtualInterfaceCreateException", HOST1),),
    ),
    Scenario(
        "create: an exception that is not Nova's, on both hosts",
        "nothing",
        v.CREATE,
        failed(
            "create",
            (HOST1, "RuntimeError"),
            (HOST2, "OSError"),
            effect="ERROR",
            verdict="MaxRetriesExceeded",
        ),
        (
            Fault(
                "nova.virt.fake.FakeDriver.spawn",
                "builtins.RuntimeError",
                ("secret of the host",),
                host=HOST1,
            ),
            Fault("nova.virt.fake.FakeDriver.spawn", "builtins.OSError", ("no space left",), host=HOST2),
        ),
    ),
    # power
    Scenario("stop works", "active", v.STOP, ok("stop"), tour=True),
    Scenario(
        "stop fails",
        "active",
        v.STOP,
        failed("stop", (HOST1, "InstancePowerOffFailure")),
        (driver("power_off", "InstancePowerOffFailure", reason="the guest does not react"),),
        tour=True,
    ),
    Scenario("start works", "stopped", v.START, ok("start")),
    Scenario(
        "start fails",
        "stopped",
        v.START,
        failed("start", (HOST1, "InstancePowerOnFailure")),
        (driver("power_on", "InstancePowerOnFailure", reason="no memory"),),
    ),
    Scenario("pause works", "active", v.PAUSE, ok("pause")),
    Scenario(
        "pause fails",
        "active",
        v.PAUSE,
        failed("pause", (HOST1, "HypervisorUnavailable")),
        (driver("pause", "HypervisorUnavailable"),),
    ),
    Scenario("unpause works", "paused", v.UNPAUSE, ok("unpause")),
    Scenario(
        "unpause fails",
        "paused",
        v.UNPAUSE,
        failed("unpause", (HOST1, "HypervisorUnavailable")),
        (driver("unpause", "HypervisorUnavailable"),),
    ),
    Scenario("suspend works", "active", v.SUSPEND, ok("suspend")),
    Scenario(
        "suspend fails",
        "active",
        v.SUSPEND,
        failed("suspend", (HOST1, "InstanceSuspendFailure"), effect="ERROR"),
        (driver("suspend", "InstanceSuspendFailure", reason="no space for its memory"),),
    ),
    Scenario(
        "suspend is not implemented",
        "active",
        v.SUSPEND,
        failed("suspend", (HOST1, "NotImplementedError")),
        (driver("suspend", "builtins.NotImplementedError"),),
    ),
    Scenario("resume works", "suspended", v.RESUME, ok("resume")),
    Scenario(
        "resume fails",
        "suspended",
        v.RESUME,
        failed("resume", (HOST1, "InstanceResumeFailure"), effect="ERROR"),
        (driver("resume", "InstanceResumeFailure", reason="saved memory is gone"),),
    ),
    # reboot
    Scenario("reboot works", "active", v.REBOOT_HARD, ok("reboot"), tour=True),
    Scenario(
        "reboot fails, the server runs on",
        "active",
        v.REBOOT_SOFT,
        failed("reboot", (HOST1, "InstanceRebootFailure")),
        (driver("reboot", "InstanceRebootFailure", reason="ACPI is off"),),
        tour=True,
    ),
    Scenario(
        "reboot fails, the server is down",
        "active",
        v.REBOOT_HARD,
        failed("reboot", (HOST1, "InstanceRebootFailure"), effect="ERROR"),
        (
            Fault(
                "nova.virt.fake.FakeDriver.reboot",
                does="guest dies",
                raises="nova.exception.InstanceRebootFailure",
                keywords={"reason": "domain is gone"},
            ),
        ),
    ),
    # rescue
    Scenario("rescue works", "active", v.RESCUE, ok("rescue")),
    Scenario(
        "rescue fails",
        "active",
        v.RESCUE,
        failed("rescue", (HOST1, "InstanceNotRescuable"), effect="ERROR"),
        (driver("rescue", "HypervisorUnavailable"),),
    ),
    Scenario("unrescue works", "rescued", v.UNRESCUE, ok("unrescue")),
    Scenario(
        "unrescue fails",
        "rescued",
        v.UNRESCUE,
        failed("unrescue", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("unrescue", "HypervisorUnavailable"),),
    ),
    # rebuild
    Scenario("rebuild works", "active", v.REBUILD, ok("rebuild")),
    Scenario(
        "rebuild fails on the host",
        "active",
        v.REBUILD,
        failed("rebuild", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (spawn("HypervisorUnavailable"),),
    ),
    # resize and migrate
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
    # live migration
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
    # volumes and interfaces
    Scenario("attach_volume works", "active", v.ATTACH_VOLUME, ok("attach_volume"), tour=True),
    Scenario(
        "attach_volume: the hypervisor fails",
        "active",
        v.ATTACH_VOLUME,
        failed("attach_volume", (HOST1, "VolumeAttachFailed")),
        (driver("attach_volume", "VolumeAttachFailed", volume_id="the-volume", reason="no path"),),
        tour=True,
    ),
    Scenario(
        "attach_volume: Cinder fails",
        "active",
        v.ATTACH_VOLUME,
        failed("attach_volume", (HOST1, "CinderConnectionFailed")),
        (
            Fault(
                **UNREACHABLE,
                raises="nova.exception.CinderConnectionFailed",
                keywords={"reason": "503 Service Unavailable"},
            ),
        ),
    ),
    Scenario("detach_volume works", "with volume", v.DETACH_VOLUME, ok("detach_volume")),
    Scenario(
        "detach_volume fails",
        "with volume",
        v.DETACH_VOLUME,
        failed("detach_volume", (HOST1, "DeviceDetachFailed")),
        (driver("detach_volume", "DeviceDetachFailed", device="vdb", reason="busy"),),
    ),
    Scenario("extend_volume works", "with volume", v.EXTEND_VOLUME, ok("extend_volume")),
    Scenario(
        "extend_volume fails",
        "with volume",
        v.EXTEND_VOLUME,
        failed("extend_volume", (HOST1, "ExtendVolumeNotSupported")),
        (driver("extend_volume", "ExtendVolumeNotSupported"),),
    ),
    Scenario("attach_interface works", "active", v.ATTACH_PORT, ok("attach_interface")),
    Scenario(
        "attach_interface fails",
        "active",
        v.ATTACH_PORT,
        failed("attach_interface", (HOST1, "InterfaceAttachFailed")),
        (driver("attach_interface", "InterfaceAttachFailed", instance_uuid="the-server"),),
    ),
    Scenario("detach_interface works", "with port", v.DETACH_PORT, ok("detach_interface")),
    Scenario(
        "detach_interface fails",
        "with port",
        v.DETACH_PORT,
        failed("detach_interface", (HOST1, "InterfaceDetachFailed")),
        (driver("detach_interface", "InterfaceDetachFailed", instance_uuid="the-server"),),
    ),
    # images
    Scenario("createImage works", "active", v.SNAPSHOT, ok("createImage")),
    Scenario(
        "createImage fails",
        "active",
        v.SNAPSHOT,
        failed("createImage", (HOST1, "HypervisorUnavailable")),
        (driver("snapshot", "HypervisorUnavailable"),),
    ),
    Scenario("createBackup works", "active", v.BACKUP, ok("createBackup")),
    Scenario(
        "createBackup fails",
        "active",
        v.BACKUP,
        failed("createBackup", (HOST1, "HypervisorUnavailable")),
        (driver("snapshot", "HypervisorUnavailable"),),
    ),
    # shelve
    Scenario("shelve works", "active", v.SHELVE, ok("shelve")),
    Scenario(
        "shelve fails",
        "active",
        v.SHELVE,
        failed("shelve", (HOST1, "HypervisorUnavailable")),
        (driver("snapshot", "HypervisorUnavailable"),),
    ),
    Scenario("unshelve works", "shelved", v.UNSHELVE, ok("unshelve")),
    Scenario(
        "unshelve: no valid host",
        "shelved",
        v.UNSHELVE,
        failed("unshelve", (CONTROLLER, "NoValidHost")),
        (
            Fault(
                "nova.scheduler.client.report.SchedulerReportClient.get_allocation_candidates",
                does="nothing",
            ),
        ),
        tour=True,
    ),
    Scenario(
        "unshelve fails on the host",
        "shelved",
        v.UNSHELVE,
        failed("unshelve", (HOST1, "HypervisorUnavailable")),
        (spawn("HypervisorUnavailable"),),
    ),
    # others
    Scenario("changePassword works", "active", v.PASSWORD, ok("changePassword")),
    Scenario(
        "changePassword fails",
        "active",
        v.PASSWORD,
        failed("changePassword", (HOST1, "InstancePasswordSetFailed")),
        (driver("set_admin_password", "InstancePasswordSetFailed", **NO_PASSWORD),),
    ),
    Scenario("trigger_crash_dump works", "active", v.CRASH_DUMP, ok("trigger_crash_dump")),
    Scenario(
        "trigger_crash_dump fails",
        "active",
        v.CRASH_DUMP,
        failed("trigger_crash_dump", (HOST1, "HypervisorUnavailable")),
        (driver("trigger_crash_dump", "HypervisorUnavailable"),),
    ),
    Scenario("lock works", "active", v.LOCK, ok("lock")),
    Scenario("unlock works", "locked", v.UNLOCK, ok("unlock")),
    # delete
    Scenario("delete works", "active", v.DELETE, ok("delete"), tour=True),
    Scenario(
        "delete fails",
        "active",
        v.DELETE,
        failed("delete", (HOST1, "InstanceTerminationFailure"), effect="ERROR"),
        (driver("destroy", "InstanceTerminationFailure", reason="the guest can't be stopped"),),
        tour=True,
    ),
    Scenario(
        "delete of a resized server",
        "resized",
        v.DELETE,
        (Expected("confirmResize", "SUCCEEDED"), Expected("delete", "SUCCEEDED")),
    ),
    # refused before an action exists
    Scenario("refused: stop of a stopped server", "stopped", v.action({"os-stop": None}, accept=(409,)), ()),
)
"""Every scenario; names are unique."""
