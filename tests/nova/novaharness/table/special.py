"""Devices, shares, groups, root volumes, and options that change the usual course of an action."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    CONTROLLER,
    HOST1,
    HOST2,
    Expected,
    Fault,
    Kind,
    Scenario,
    accepting_500,
    driver,
    failed,
    ok,
    spawn,
)

_NO_PCI = "nova.compute.claims.Claim._test_pci"
_CINDER_DOWN = {
    "raises": "nova.exception.CinderConnectionFailed",
    "keywords": {"reason": "503 Service Unavailable"},
}
_HOST1_DOWN = {"before": (v.HOST1_DOWN,), "cleanup": (v.RESTART_HOST1, v.HOST1_UP)}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "create: no PCI device is left on host1, host2 succeeds",
        "nothing",
        v.CREATE,
        (Expected("create", "RECOVERED", ((HOST1, "ComputeResourcesUnavailable"),), None, "NONE"),),
        (Fault(_NO_PCI, does="returns", arguments=("Claim pci failed",), host=HOST1),),
    ),
    Scenario("create with an accelerator works", "nothing", v.CREATE_WITH_ACCELERATOR, ok("create")),
    Scenario(
        "create with an accelerator: Cyborg can't bind it",
        "nothing",
        v.CREATE_WITH_ACCELERATOR,
        failed("create", (CONTROLLER, "AcceleratorRequestBindingFailed"), effect="ERROR"),
        (
            Fault(
                "nova.accelerator.cyborg._CyborgClient.bind_arqs",
                "nova.exception.AcceleratorRequestBindingFailed",
                keywords={"arqs": ["the-arq"], "msg": "no such device"},
            ),
        ),
    ),
    Scenario(
        "create with an accelerator: it is never there",
        "nothing",
        v.CREATE_WITH_ACCELERATOR,
        failed("create", (HOST1, "AcceleratorRequestOpFailed"), effect="ERROR"),
        (
            Fault(
                "nova.compute.manager.ComputeManager._get_bound_arq_resources",
                "nova.exception.AcceleratorRequestOpFailed",
                keywords={"op": "get", "msg": "no answer"},
            ),
        ),
        kind=Kind.CAUSE,
    ),
    Scenario(
        "create: too late for its server group on host1",
        "nothing",
        v.CREATE_GROUPED,
        (Expected("create", "RECOVERED", ((HOST1, "GroupAffinityViolation"),), None, "NONE"),),
        (
            Fault(
                "nova.compute.manager.ComputeManager._validate_instance_group_policy",
                "nova.exception.GroupAffinityViolation",
                keywords={"instance_uuid": "the-server", "policy": "Anti-affinity"},
                host=HOST1,
            ),
        ),
    ),
    Scenario(
        "create of two servers: host1 fails",
        "nothing",
        v.CREATE_TWO,
        (Expected("create", "RECOVERED", ((HOST1, "HypervisorUnavailable"),), None, "NONE"),) * 2,
        (spawn("HypervisorUnavailable", HOST1),),
    ),
    Scenario(
        "create of two servers: no valid host",
        "nothing",
        v.CREATE_TWO_HUGE,
        failed("create", (CONTROLLER, "NoValidHost"), effect="ERROR") * 2,
    ),
    Scenario(
        "create fails, no other host may be tried",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (spawn("HypervisorUnavailable"),),
        options={"scheduler.max_attempts": 1},
    ),
    Scenario(
        "resize: its own host has no room, the other has",
        "active",
        v.RESIZE,
        (Expected("resize", "RECOVERED", ((HOST1, "ComputeResourcesUnavailable"),), None, "NONE"),),
        (
            Fault(
                "nova.compute.resource_tracker.ResourceTracker.resize_claim",
                "nova.exception.ComputeResourcesUnavailable",
                keywords={"reason": "no room"},
                host=HOST1,
            ),
        ),
        options={"allow_resize_to_same_host": True},
    ),
    Scenario(
        "stop fails, states are announced",
        "active",
        v.STOP,
        failed("stop", (HOST1, "InstancePowerOffFailure")),
        (driver("power_off", "InstancePowerOffFailure", reason="the guest does not react"),),
        options={"notifications.notify_on_state_change": "vm_and_task_state"},
    ),
    Scenario("resize of a server with its root on a volume works", "from volume", v.RESIZE, ok("resize")),
    Scenario(
        "createImage of a server with its root on a volume: Cinder fails",
        "from volume",
        accepting_500(v.SNAPSHOT),
        failed("createImage", (CONTROLLER, "CinderConnectionFailed")),
        (Fault("nova.volume.cinder.API.create_snapshot_force", **_CINDER_DOWN),),
    ),
    Scenario(
        "rebuild of a server with its root on a volume works",
        "from volume",
        v.REBUILD_ROOT_VOLUME,
        ok("rebuild"),
        (
            Fault("nova.volume.cinder.API.reimage_volume", does="nothing"),
            Fault("nova.compute.manager.ComputeVirtAPI.wait_for_instance_event", does="waits for nothing"),
        ),
    ),
    Scenario(
        "rebuild of a server with its root on a volume: Cinder fails",
        "from volume",
        v.REBUILD_ROOT_VOLUME,
        failed("rebuild", (HOST1, "CinderConnectionFailed"), effect="ERROR"),
        (Fault("nova.volume.cinder.API.reimage_volume", host=HOST1, **_CINDER_DOWN),),
        kind=Kind.CAUSE,
    ),
    Scenario("shelve of a server with its root on a volume works", "from volume", v.SHELVE, ok("shelve")),
    Scenario("swap_volume works", "with a volume to swap", v.SWAP_VOLUME, ok("swap_volume")),
    Scenario(
        "swap_volume fails",
        "with a volume to swap",
        v.SWAP_VOLUME,
        failed("swap_volume", (HOST1, "HypervisorUnavailable")),
        (driver("swap_volume", "HypervisorUnavailable"),),
    ),
    Scenario("attach_share works", "stopped", v.ATTACH_SHARE, ok("attach_share")),
    Scenario(
        "attach_share: Manila refuses",
        "stopped",
        v.ATTACH_SHARE,
        failed("attach_share", (HOST1, "ShareAccessGrantError")),
        (
            Fault(
                "nova.share.manila.API.allow",
                "nova.exception.ShareAccessGrantError",
                keywords={"share_id": "the-share", "reason": "no access"},
            ),
        ),
    ),
    Scenario("detach_share works", "with share", v.DETACH_SHARE, ok("detach_share")),
    Scenario(
        "detach_share: Manila refuses",
        "with share",
        v.DETACH_SHARE,
        failed("detach_share", (HOST1, "ShareAccessRemovalError")),
        (
            Fault(
                "nova.share.manila.API.deny",
                "nova.exception.ShareAccessRemovalError",
                keywords={"share_id": "the-share", "reason": "no access"},
            ),
        ),
    ),
    Scenario(
        "start: a share can't be mounted",
        "with share",
        v.START,
        failed("start", (HOST1, "ShareMountError"), effect="ERROR"),
        (driver("mount_share", "ShareMountError", share_id="the-share", server_id="the-server", reason="no route"),),
    ),
    Scenario(
        "extend_volume of two volumes, one fails",
        "with volume",
        v.EXTEND_TWO_VOLUMES,
        (
            Expected("extend_volume", "SUCCEEDED"),
            Expected("extend_volume", "FAILED", ((HOST1, "ExtendVolumeNotSupported"),), None, "NONE"),
        ),
        (
            Fault(
                "nova.virt.fake.FakeDriver.extend_volume", "nova.exception.ExtendVolumeNotSupported", times=1, after=1
            ),
        ),
        before=(v.ATTACH_SECOND_VOLUME,),
    ),
    Scenario(
        "extend_volume of two volumes, the first fails",
        "with volume",
        v.EXTEND_TWO_VOLUMES,
        (
            Expected("extend_volume", "FAILED", ((HOST1, "ExtendVolumeNotSupported"),), None, "NONE"),
            Expected("extend_volume", "IN_PROGRESS"),  # Nova stops the call, and never extends the second volume
        ),
        (Fault("nova.virt.fake.FakeDriver.extend_volume", "nova.exception.ExtendVolumeNotSupported", times=1),),
        before=(v.ATTACH_SECOND_VOLUME,),
    ),
    Scenario(
        "createImage: the image is deleted meanwhile",
        "active",
        v.SNAPSHOT,
        failed("createImage", (HOST1, "ImageNotFound")),
        (driver("snapshot", "ImageNotFound", image_id="the-image"),),
    ),
    Scenario(
        "createBackup: the image is deleted meanwhile",
        "active",
        v.BACKUP,
        failed("createBackup", (HOST1, "ImageNotFound")),
        (driver("snapshot", "ImageNotFound", image_id="the-image"),),
    ),
    Scenario(
        "createBackup: old backups can't be deleted",
        "active",
        v.BACKUP,
        failed("createBackup", (HOST1, "GlanceConnectionFailed")),
        (
            Fault(
                "nova.compute.manager.ComputeManager._rotate_backups",
                "nova.exception.GlanceConnectionFailed",
                keywords={"server": "glance", "reason": "timed out"},
            ),
        ),
    ),
    Scenario(
        "delete: the guest is gone already",
        "active",
        v.DELETE,
        (Expected("delete", "IN_PROGRESS"),),  # Nova records Success, and the server stays "deleting"
        (driver("destroy", "InstanceNotFound", instance_id="the-server"),),
    ),
    Scenario(
        "delete: Neutron fails",
        "with port",
        v.DELETE,
        failed("delete", (HOST1, "PortBindingDeletionFailed"), effect="ERROR"),
        (
            Fault(
                "nova.network.neutron.API.deallocate_for_instance",
                "nova.exception.PortBindingDeletionFailed",
                keywords={"port_id": "the-port", "host": "host1"},
            ),
        ),
    ),
    Scenario("delete of a server in ERROR works", "in ERROR", v.DELETE, ok("delete")),
    Scenario("reboot of a server in ERROR works", "in ERROR", v.REBOOT_HARD, ok("reboot")),
    Scenario("an admin stops a user's locked server", "locked", v.ADMIN_STOP, ok("stop")),
    Scenario(
        "evacuate: the new host has no room",
        "active",
        v.EVACUATE_TO_HOST2,
        failed("evacuate", (HOST2, "ComputeResourcesUnavailable")),
        (
            Fault(
                "nova.compute.resource_tracker.ResourceTracker.rebuild_claim",
                "nova.exception.ComputeResourcesUnavailable",
                keywords={"reason": "no room"},
                host=HOST2,
            ),
        ),
        **_HOST1_DOWN,
    ),
    Scenario(
        "evacuate of a stopped server works",
        "stopped",
        v.EVACUATE,
        ok("evacuate"),
        **_HOST1_DOWN,
    ),
    Scenario(
        "live migration: the destination can't take over",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST2, "HypervisorUnavailable"), effect="ERROR"),
        (driver("post_live_migration_at_destination", "HypervisorUnavailable", HOST2),),
        kind=Kind.AFTER_MOVE,
    ),
    Scenario(
        "live migration: no valid host",
        "active",
        v.LIVE_MIGRATE,
        failed("live-migration", (CONTROLLER, "NoValidHost")),
        (Fault("nova.scheduler.client.report.SchedulerReportClient.get_allocation_candidates", does="nothing"),),
    ),
    Scenario(
        "unshelve of a server that is not offloaded works",
        "active",
        v.UNSHELVE,
        ok("unshelve"),
        options={"shelved_offload_time": -1},
        before=(v.SHELVE,),
    ),
    Scenario(
        "stop by a power-update event: the driver can't",
        "active",
        v.POWER_UPDATE,
        failed("stop", (HOST1, "NotImplementedError")),
    ),
)
