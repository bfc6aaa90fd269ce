"""Steps that end with Success although Nova gave their work up (docs/nova-early-returns.md)."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, Fault, Kind, Scenario, driver, failed, ok

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "createBackup: the hypervisor has lost the guest",
        "active",
        v.BACKUP,
        failed("createBackup", (HOST1, "InstanceNotFound")),
        (driver("snapshot", "InstanceNotFound", instance_id="the-guest"),),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "createImage: the hypervisor has lost the guest",
        "active",
        v.SNAPSHOT,
        failed("createImage", (HOST1, "InstanceNotFound")),
        (driver("snapshot", "InstanceNotFound", instance_id="the-guest"),),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "createImage: the guest does not run",
        "active",
        v.SNAPSHOT,
        failed("createImage", (HOST1, "InstanceNotRunning")),
        (driver("snapshot", "InstanceNotRunning", instance_id="the-guest"),),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "confirmResize: the migration is in error",
        "resized",
        v.CONFIRM,
        failed("confirmResize", (HOST1, "ResizeNotConfirmed")),
        (Fault("nova.compute.rpcapi.ComputeAPI.confirm_resize", does="in error"),),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "extend_volume: the volume is not attached",
        "active",
        v.EXTEND_VOLUME,
        failed("extend_volume", (HOST1, "VolumeBDMNotFound")),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "extend_volume: the volume is not connected yet",
        "with volume",
        v.EXTEND_VOLUME,
        failed("extend_volume", (HOST1, "VolumeNotExtended")),
        (Fault("nova.objects.block_device.BlockDeviceMapping._from_db_object", does="without connection"),),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "stop by a power-update event: the server is stopped already",
        "stopped",
        v.POWER_UPDATE,
        ok("stop"),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "stop by a power-update event: the server is paused",
        "paused",
        v.POWER_UPDATE,
        failed("stop", (HOST1, "PowerUpdateIgnored")),
        kind=Kind.UNDONE,
    ),
    Scenario(
        "stop by a power-update event: another task preempts it",
        "active",
        v.POWER_UPDATE,
        failed("stop", (HOST1, "UnexpectedTaskStateError")),
        (
            Fault(
                "nova.db.main.api.instance_update_and_get_original",
                "nova.exception.UnexpectedTaskStateError",
                keywords={"instance_uuid": "the-server", "expected": {}, "actual": {}},
            ),
        ),
        kind=Kind.UNDONE,
    ),
)
