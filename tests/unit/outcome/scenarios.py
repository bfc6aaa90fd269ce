"""Scenarios as data: what the signals of each way in say, and what the derivation must make of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """A script (see :mod:`dsl`), what is expected by every way, and by the ways that know less."""

    name: str
    script: str
    expected: dict[str, str]
    but: dict[str, dict[str, str]] = field(default_factory=dict)


SCENARIOS = [
    Scenario(
        "stop",
        """
        T api action_start stop
        VL h1 instance.power_off.start active/powering-off
        T h1 event_start compute_stop_instance
        VL h1 instance.power_off.end stopped/-
        T h1 event_finish.end compute_stop_instance
        """,
        {"stop": "SUCCEEDED"},
    ),
    Scenario(
        "stop that fails",
        """
        T api action_start stop
        T h1 event_start compute_stop_instance
        VL h1 instance.power_off.start active/powering-off
        T h1 fault !InstancePowerOffFailure active/powering-off
        T h1 event_finish compute_stop_instance !InstancePowerOffFailure
        V h1 exception !InstancePowerOffFailure
        L h1 exception compute_stop_instance !InstancePowerOffFailure active/-
        """,
        {"stop": "FAILED h1:InstancePowerOffFailure(NONE)"},
        but={
            "versioned": {"stop": "FAILED h1:InstancePowerOffFailure(UNKNOWN)"},
        },
    ),
    Scenario(
        "create exhausts its retries",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !libvirtError
        T h1 event_finish.end compute__do_build_and_run_instance
        T h2 event_start compute__do_build_and_run_instance
        VL h2 instance.create.start building/-
        VL h2 instance.create.error building/spawning !libvirtError
        T h2 event_finish.end compute__do_build_and_run_instance
        T con fault !MaxRetriesExceeded error/-
        VL con compute_task.build_instances !MaxRetriesExceeded error/-
        """,
        {"create": "FAILED h1:libvirtError(NONE) h2:libvirtError(ERROR) verdict=MaxRetriesExceeded"},
    ),
    Scenario(
        "create recovers on the second host",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !ComputeResourcesUnavailable
        T h1 event_finish.end compute__do_build_and_run_instance
        T h2 event_start compute__do_build_and_run_instance
        VL h2 instance.create.start building/-
        VL h2 instance.create.end active/-
        T h2 event_finish.end compute__do_build_and_run_instance
        """,
        {"create": "RECOVERED h1:ComputeResourcesUnavailable(NONE)"},
    ),
    Scenario(
        "resize without a valid host",
        """
        T api action_start resize
        T con event_start conductor_migrate_server
        T con event_start cold_migrate
        T con fault !NoValidHost active/-
        VL con compute_task.migrate_server !NoValidHost active/-
        T con event_finish cold_migrate !NoValidHost
        T con event_finish conductor_migrate_server !NoValidHost
        """,
        {"resize": "FAILED con:NoValidHost(NONE)"},
    ),
    Scenario(
        "create gives up on a build that no host can do",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !VirtualInterfaceCreateException
        T h1 fault !BuildAbortException>VirtualInterfaceCreateException building/spawning
        T h1 event_finish compute__do_build_and_run_instance
        """,
        {"create": "FAILED h1:VirtualInterfaceCreateException(UNKNOWN)"},
    ),
    Scenario(
        "create without retries",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !HypervisorUnavailable
        T h1 fault !RescheduledException>HypervisorUnavailable building/spawning
        T h1 event_finish compute__do_build_and_run_instance
        """,
        {"create": "FAILED h1:HypervisorUnavailable(UNKNOWN)"},
        but={
            # The same payload, whether Nova tries another host or gives up: it cannot be known.
            way: {"create": "IN_PROGRESS h1:HypervisorUnavailable(UNKNOWN)"}
            for way in ("versioned", "legacy", "both")
        },
    ),
    Scenario(
        "create deleted midway",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        T api action_start delete @req-2
        VL h1 instance.delete.start building/deleting @req-2
        VL h1 instance.create.error building/spawning !UnexpectedDeletingTaskStateError
        T h1 event_finish compute__do_build_and_run_instance
        T h1 event_start compute_terminate_instance @req-2
        VL h1 instance.delete.end deleted/- @req-2
        T h1 event_finish compute_terminate_instance @req-2
        """,
        {"create": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "create that is open when its server is deleted",
        """
        T con action_start create
        VL h1 instance.create.start building/-
        T api action_start delete @req-2
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"create": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "stop of a server whose guest is missing, without any delete",
        """
        T api action_start stop
        VL h1 instance.power_off.start active/powering-off
        T h1 event_finish compute_stop_instance !InstanceNotFound
        VL h1 exception compute_stop_instance !InstanceNotFound
        """,
        {"stop": "FAILED h1:InstanceNotFound(UNKNOWN)"},
    ),
    Scenario(
        "stop of a server that is deleted meanwhile",
        """
        T api action_start stop
        VL h1 instance.power_off.start active/powering-off
        T api action_start delete @req-2
        VL h1 instance.delete.start active/deleting @req-2
        T h1 event_finish compute_stop_instance !InstanceNotFound
        VL h1 exception compute_stop_instance !InstanceNotFound
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"stop": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "local delete: its action starts after its end",
        """
        VL api instance.delete.start active/-
        VL api instance.delete.end deleted/-
        T api action_start delete
        """,
        {"delete": "SUCCEEDED"},
    ),
    Scenario(
        "delete fails",
        """
        T api action_start delete
        VL h1 instance.delete.start active/deleting
        T h1 event_start compute_terminate_instance
        VL h1 instance.shutdown.start active/deleting
        T h1 fault !InstanceTerminationFailure error/-
        T h1 event_finish compute_terminate_instance !InstanceTerminationFailure
        V h1 exception !InstanceTerminationFailure
        L h1 exception compute_terminate_instance !InstanceTerminationFailure error/-
        """,
        {"delete": "FAILED h1:InstanceTerminationFailure(ERROR)"},
        but={"versioned": {"delete": "FAILED h1:InstanceTerminationFailure(UNKNOWN)"}},
    ),
    Scenario(
        "a server in VERIFY_RESIZE is deleted",
        """
        T api action_start confirmResize
        T api action_start delete
        T h1 event_start compute_confirm_resize
        VL h1 instance.resize_confirm.start resized/deleting
        VL h1 instance.resize_confirm.end active/deleting
        T h1 event_finish.end compute_confirm_resize
        T h2 event_start compute_terminate_instance
        VL h2 instance.delete.start active/deleting
        VL h2 instance.delete.end deleted/-
        T h2 event_finish.end compute_terminate_instance
        """,
        {"confirmResize": "SUCCEEDED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "a server in VERIFY_RESIZE is deleted, the confirmation fails",
        """
        T api action_start confirmResize
        T api action_start delete
        T h1 event_start compute_confirm_resize
        VL h1 instance.resize_confirm.start resized/deleting
        T h1 fault !HypervisorUnavailable resized/deleting
        T h1 event_finish compute_confirm_resize !HypervisorUnavailable
        VL h1 exception compute_confirm_resize !HypervisorUnavailable
        T h2 event_start compute_terminate_instance
        VL h2 instance.delete.start active/deleting
        VL h2 instance.delete.end deleted/-
        T h2 event_finish.end compute_terminate_instance
        """,
        {"confirmResize": "FAILED h1:HypervisorUnavailable(UNKNOWN)", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "two volumes of a server are extended by one call, one fails",
        """
        T api action_start extend_volume target_kind=volume target_id=vol-1
        T api action_start extend_volume target_kind=volume target_id=vol-2
        T h1 event_start compute_extend_volume target_kind=volume target_id=vol-1
        T h1 fault !libvirtError active/-
        T h1 event_finish compute_extend_volume !libvirtError target_kind=volume target_id=vol-1
        L h1 exception compute_extend_volume !libvirtError target_kind=volume target_id=vol-1 active/-
        T h1 event_start compute_extend_volume target_kind=volume target_id=vol-2
        T h1 event_finish.end compute_extend_volume target_kind=volume target_id=vol-2
        """,
        {"extend_volume": "FAILED h1:libvirtError(NONE)", "extend_volume#1": "SUCCEEDED"},
        but={
            "versioned": {},
            "legacy": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
            "both": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
        },
    ),
    Scenario(
        "two volumes of a server are extended by one call, one fails, its notification names both",
        """
        T api action_start extend_volume target_kind=volume target_id=vol-1
        T api action_start extend_volume target_kind=volume target_id=vol-2
        T h1 event_start compute_extend_volume target_kind=volume target_id=vol-1
        T h1 event_finish.end compute_extend_volume target_kind=volume target_id=vol-1
        T h1 event_start compute_extend_volume target_kind=volume target_id=vol-2
        T h1 fault !libvirtError active/-
        T h1 event_finish compute_extend_volume !libvirtError target_kind=volume target_id=vol-2
        L h1 exception compute_extend_volume !libvirtError active/- action=extend_volume target_kind=volume
        """,
        {"extend_volume": "SUCCEEDED", "extend_volume#1": "FAILED h1:libvirtError(NONE)"},
        but={
            "versioned": {},
            "legacy": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
            "both": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
        },
    ),
    Scenario(
        "two volumes of a server are extended by one call, the first fails, the clock of nova-api is behind",
        """
        T h1 event_start compute_extend_volume target_kind=volume target_id=vol-1
        T h1 event_finish compute_extend_volume !libvirtError target_kind=volume target_id=vol-1
        T api action_start extend_volume target_kind=volume target_id=vol-1
        T api action_start extend_volume target_kind=volume target_id=vol-2
        L h1 exception compute_extend_volume !libvirtError active/- action=extend_volume target_kind=volume
        """,
        {"extend_volume": "FAILED h1:libvirtError(NONE)", "extend_volume#1": "IN_PROGRESS"},
        but={
            "tap+versioned": {"extend_volume": "FAILED h1:libvirtError(UNKNOWN)", "extend_volume#1": "IN_PROGRESS"},
            "versioned": {},
            "legacy": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
            "both": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
        },
    ),
    Scenario(
        "two volumes of a server are extended by one call, one fails, its compute tells nothing else",
        """
        T api action_start extend_volume target_kind=volume target_id=vol-1
        T api action_start extend_volume target_kind=volume target_id=vol-2
        L h1 exception compute_extend_volume !libvirtError active/- action=extend_volume target_kind=volume
        """,
        {
            "extend_volume": "IN_PROGRESS",
            "extend_volume#1": "IN_PROGRESS",
            "extend_volume#2": "FAILED h1:libvirtError(NONE)",
        },
        but={
            "tap+versioned": {"extend_volume": "IN_PROGRESS", "extend_volume#1": "IN_PROGRESS"},
            "versioned": {},
            "legacy": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
            "both": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
        },
    ),
    Scenario(
        "two volumes of a server are extended by one call, none is named",
        """
        T api action_start extend_volume
        T api action_start extend_volume
        T h1 event_start compute_extend_volume
        T h1 event_finish.end compute_extend_volume
        T h1 event_start compute_extend_volume
        T h1 event_finish compute_extend_volume !libvirtError
        """,
        {"extend_volume": "SUCCEEDED", "extend_volume#1": "FAILED h1:libvirtError(UNKNOWN)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "reboot fails while the guest runs on",
        """
        T api action_start reboot
        T h1 event_start compute_reboot_instance
        VL h1 instance.reboot.start active/rebooting
        T h1 fault !InstanceRebootFailure active/reboot_started
        VL h1 instance.reboot.error active/reboot_started !InstanceRebootFailure
        VL h1 instance.reboot.end active/-
        T h1 event_finish.end compute_reboot_instance
        """,
        {"reboot": "FAILED h1:InstanceRebootFailure(NONE)"},
    ),
    Scenario(
        "shelve with Nova's default offload time",
        """
        T api action_start shelve
        T h1 event_start compute_shelve_instance
        VL h1 instance.shelve.start active/shelving
        VL h1 instance.shelve.end shelved/shelving_offloading
        VL h1 instance.shelve_offload.start shelved/shelving_offloading
        VL h1 instance.shelve_offload.end shelved_offloaded/-
        T h1 event_finish.end compute_shelve_instance
        """,
        {"shelve": "SUCCEEDED"},
    ),
    Scenario(
        "shelve whose offload fails",
        """
        T api action_start shelve
        T h1 event_start compute_shelve_instance
        VL h1 instance.shelve.start active/shelving
        VL h1 instance.shelve.end shelved/shelving_offloading
        VL h1 instance.shelve_offload.start shelved/shelving_offloading
        T h1 fault !InstancePowerOffFailure shelved/shelving_offloading
        T h1 event_finish compute_shelve_instance !InstancePowerOffFailure
        VL h1 exception compute_shelve_instance !InstancePowerOffFailure shelved/-
        """,
        {"shelve": "FAILED h1:InstancePowerOffFailure(OTHER)"},
    ),
    Scenario(
        "shelve, and a periodic task that offloads later",
        """
        T api action_start shelve
        T h1 event_start compute_shelve_instance
        VL h1 instance.shelve.start active/shelving
        VL h1 instance.shelve.end shelved/-
        T h1 event_finish.end compute_shelve_instance
        T h1 event_start compute_shelve_offload_instance @req-periodic sys
        VL h1 instance.shelve_offload.start shelved/shelving_offloading @req-periodic sys
        VL h1 instance.shelve_offload.end shelved_offloaded/- @req-periodic sys
        T h1 event_finish.end compute_shelve_offload_instance @req-periodic sys
        """,
        {"shelve": "SUCCEEDED", "shelveOffload": "SUCCEEDED"},
    ),
    Scenario(
        "soft delete, and a periodic task that fails to reclaim",
        """
        T api action_start delete
        VL h1 instance.soft_delete.start active/soft-deleting
        VL h1 instance.soft_delete.end soft-delete/-
        T h1 event_finish.end compute_soft_delete_instance
        VL h1 instance.delete.start soft-delete/- @req-periodic sys
        VL h1 exception !HypervisorUnavailable @req-periodic sys
        T h1 fault !HypervisorUnavailable error/- @req-periodic sys
        """,
        {"delete": "SUCCEEDED", "delete#1": "FAILED h1:HypervisorUnavailable(ERROR)"},
        but={
            way: {"delete": "SUCCEEDED", "delete#1": "FAILED h1:HypervisorUnavailable(UNKNOWN)"}
            for way in ("versioned", "legacy", "both")
        },
    ),
    Scenario(
        "a restarted compute finishes the user's stop",
        """
        T api action_start stop
        T h1 event_start compute_stop_instance
        VL h1 instance.power_off.start active/powering-off
        VL h1 instance.power_off.start active/powering-off @req-init sys
        T h1 event_start compute_stop_instance @req-init sys
        VL h1 instance.power_off.end stopped/- @req-init sys
        T h1 event_finish.end compute_stop_instance @req-init sys
        """,
        {"stop": "SUCCEEDED"},
    ),
    Scenario(
        "resize confirmed by the periodic task",
        """
        T api action_start resize
        VL h2 instance.resize_finish.end resized/-
        T h2 event_finish.end compute_finish_resize
        T h2 action_start confirmResize @req-periodic sys
        VL h1 instance.resize_confirm.start resized/- @req-periodic sys
        VL h1 instance.resize_confirm.end active/- @req-periodic sys
        T h1 event_finish.end compute_confirm_resize @req-periodic sys
        """,
        {"resize": "SUCCEEDED", "confirmResize": "SUCCEEDED"},
    ),
    Scenario(
        "resize recovers on another host",
        """
        T api action_start resize
        T con event_start conductor_migrate_server
        T con event_finish.end conductor_migrate_server
        T h2 event_start compute_prep_resize
        VL h2 instance.resize_prep.start active/resize_prep
        T h2 fault !ComputeResourcesUnavailable active/resize_prep
        VL h2 instance.resize.error active/resize_prep !ComputeResourcesUnavailable
        VL h2 instance.resize_prep.end active/resize_prep
        T h2 event_finish.end compute_prep_resize
        T h3 event_start compute_prep_resize
        VL h3 instance.resize_prep.start active/resize_prep
        VL h3 instance.resize_prep.end active/resize_prep
        T h3 event_finish.end compute_prep_resize
        VL h1 instance.resize.end active/resize_migrated
        VL h3 instance.resize_finish.end resized/-
        T h3 event_finish.end compute_finish_resize
        """,
        {"resize": "RECOVERED h2:ComputeResourcesUnavailable(NONE)"},
    ),
    Scenario(
        "resize fails on its one host, the verdict surfaces there",
        """
        T api action_start migrate
        T h2 event_start compute_prep_resize
        VL h2 instance.resize_prep.start active/resize_prep
        T con fault !NoValidHost>MaxRetriesExceeded active/-
        VL con compute_task.migrate_server !NoValidHost active/-
        T con event_finish conductor_migrate_server !NoValidHost
        T h2 fault !NoValidHost_Remote>ComputeResourcesUnavailable active/-
        VL h2 instance.resize.error active/resize_prep !NoValidHost_Remote
        VL h2 instance.resize_prep.end active/resize_prep
        T h2 fault !ComputeResourcesUnavailable error/-
        T h2 event_finish compute_prep_resize !ComputeResourcesUnavailable
        V h2 exception !ComputeResourcesUnavailable
        L h2 exception compute_prep_resize !ComputeResourcesUnavailable error/-
        """,
        {"migrate": "FAILED h2:ComputeResourcesUnavailable(ERROR) verdict=NoValidHost"},
        but={
            "versioned": {"resize": "FAILED h2:ComputeResourcesUnavailable(UNKNOWN) verdict=NoValidHost"},
            "legacy": {"resize": "FAILED h2:ComputeResourcesUnavailable(ERROR) verdict=NoValidHost"},
            "both": {"resize": "FAILED h2:ComputeResourcesUnavailable(ERROR) verdict=NoValidHost"},
        },
    ),
    Scenario(
        "migrate told by equal flavors",
        """
        VL h2 instance.resize_prep.start active/resize_prep action=resize old_flavor=m1 new_flavor=m1
        VL h2 instance.resize_finish.end resized/- action=resize
        """,
        {"migrate": "SUCCEEDED"},
        but={"tap": {"migrate": "SUCCEEDED"}},
    ),
    Scenario(
        "rebuild rolls back",
        """
        T api action_start rebuild
        T h1 event_start compute_rebuild_instance
        VL h1 instance.rebuild.start active/rebuilding
        VL h1 instance.rebuild.error active/rebuilding !ComputeResourcesUnavailable
        T h1 fault !BuildAbortException>ComputeResourcesUnavailable active/-
        T h1 event_finish compute_rebuild_instance !BuildAbortException>ComputeResourcesUnavailable
        V h1 exception !BuildAbortException
        L h1 exception compute_rebuild_instance !BuildAbortException active/-
        """,
        {"rebuild": "FAILED h1:ComputeResourcesUnavailable(NONE)"},
        but={"versioned": {"rebuild": "FAILED h1:ComputeResourcesUnavailable(UNKNOWN)"}},
    ),
    Scenario(
        "evacuate of a guest that was stopped",
        """
        T api action_start evacuate
        L api instance.evacuate stopped/-
        T con event_start rebuild_server
        VL con instance.rebuild_scheduled stopped/rebuilding
        T con event_finish.end rebuild_server
        T h2 event_start compute_rebuild_instance
        VL h2 instance.rebuild.start stopped/rebuilding
        T h2 event_start compute_stop_instance
        VL h2 instance.power_off.start active/powering-off
        VL h2 instance.power_off.end stopped/-
        T h2 event_finish.end compute_stop_instance
        VL h2 instance.rebuild.end stopped/-
        T h2 event_finish.end compute_rebuild_instance
        """,
        {"evacuate": "SUCCEEDED"},
        but={"versioned": {"rebuild": "SUCCEEDED"}},
    ),
    Scenario(
        "live migration succeeds on the second host",
        """
        T api action_start live-migration
        T con event_start conductor_live_migrate_instance
        T h2 event_start compute_check_can_live_migrate_destination
        T h2 fault !MigrationPreCheckError active/migrating
        T h2 event_finish compute_check_can_live_migrate_destination !MigrationPreCheckError
        V h2 exception !MigrationPreCheckError
        L h2 exception compute_check_can_live_migrate_destination !MigrationPreCheckError active/migrating
        T h3 event_start compute_check_can_live_migrate_destination
        T h3 event_finish.end compute_check_can_live_migrate_destination
        T con event_finish.end conductor_live_migrate_instance
        T h1 event_finish.end compute_live_migration
        VL h3 instance.live_migration_pre.end active/migrating
        VL h1 instance.live_migration_post.start active/migrating
        VL h3 instance.live_migration_post_dest.end active/-
        VL h1 instance.live_migration_post.end active/-
        T h1 migration migration_type=live-migration migration_status=completed
        """,
        {"live-migration": "RECOVERED h2:MigrationPreCheckError(NONE)"},
    ),
    Scenario(
        "live migration: the source refuses, the destination says so again",
        """
        T api action_start live-migration
        T h1 fault !InvalidSharedStorage active/migrating
        T h1 event_finish compute_check_can_live_migrate_source !InvalidSharedStorage
        VL h1 exception compute_check_can_live_migrate_source !InvalidSharedStorage
        T h2 fault !MigrationPreCheckError>InvalidSharedStorage active/migrating
        T h2 event_finish compute_check_can_live_migrate_destination !MigrationPreCheckError>InvalidSharedStorage
        VL h2 exception compute_check_can_live_migrate_destination !MigrationPreCheckError>InvalidSharedStorage
        T con fault !MigrationPreCheckError_Remote>InvalidSharedStorage active/-
        VL con compute_task.migrate_server !MigrationPreCheckError_Remote>InvalidSharedStorage active/-
        T con migration migration_type=live-migration migration_status=error !MigrationPreCheckError_Remote
        T con event_finish conductor_live_migrate_instance !MigrationPreCheckError_Remote>InvalidSharedStorage
        """,
        {"live-migration": "FAILED h1:InvalidSharedStorage(NONE)"},
    ),
    Scenario(
        "live migration: the destination can't prepare",
        """
        T api action_start live-migration
        T con event_finish.end conductor_live_migrate_instance
        T h1 event_finish.end compute_live_migration
        T h2 event_start compute_pre_live_migration
        VL h2 instance.live_migration_pre.start active/migrating
        T h2 fault !DiskNotFound active/migrating
        T h2 event_finish compute_pre_live_migration !DiskNotFound
        VL h2 exception compute_pre_live_migration !DiskNotFound active/migrating
        VL h1 instance.live_migration_rollback.start active/migrating
        VL h1 instance.live_migration_rollback.end active/-
        T h1 migration migration_type=live-migration migration_status=error !DiskNotFound_Remote
        """,
        {"live-migration": "FAILED h2:DiskNotFound(NONE)"},
    ),
    Scenario(
        "live migration whose job fails",
        """
        T api action_start live-migration
        T con event_finish.end conductor_live_migrate_instance
        T h1 event_finish.end compute_live_migration
        VL h2 instance.live_migration_pre.start active/migrating
        VL h2 instance.live_migration_pre.end active/migrating
        VL h1 instance.live_migration_rollback.start active/migrating
        VL h1 instance.live_migration_rollback.end active/-
        T h1 migration migration_type=live-migration migration_status=failed
        """,
        {"live-migration": "FAILED h1:LiveMigrationRolledBack(NONE)"},
    ),
    Scenario(
        "live migration aborted",
        """
        T api action_start live-migration
        T con event_finish.end conductor_live_migrate_instance
        T h1 event_finish.end compute_live_migration
        VL h2 instance.live_migration_pre.start active/migrating
        T api action_start live_migration_cancel @req-2
        VL h1 instance.live_migration_abort.start active/migrating @req-2
        VL h1 instance.live_migration_abort.end active/migrating @req-2
        T h1 event_finish.end compute_live_migration_abort @req-2
        VL h1 instance.live_migration_rollback.start active/migrating
        VL h1 instance.live_migration_rollback.end active/-
        T h1 migration migration_type=live-migration migration_status=cancelled
        """,
        {"live-migration": "CANCELLED", "live_migration_cancel": "SUCCEEDED"},
    ),
    Scenario(
        "unshelve without a valid host",
        """
        T api action_start unshelve
        T con event_start schedule_instances
        T con event_finish schedule_instances !NoValidHost shelved_offloaded/unshelving
        """,
        {"unshelve": "FAILED con:NoValidHost(NONE)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "unshelve whose image is gone",
        """
        T api action_start unshelve shelved_offloaded/unshelving
        T con event_start get_image_info
        T con fault !ImageNotFound error/unshelving
        T con event_finish get_image_info !UnshelveException>ImageNotFound
        """,
        {"unshelve": "FAILED con:ImageNotFound(ERROR)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "unshelve of a server that was not offloaded",
        """
        T api action_start unshelve
        T h1 event_start compute_start_instance
        VL h1 instance.power_on.start shelved/powering-on
        VL h1 instance.power_on.end active/-
        T h1 event_finish.end compute_start_instance
        """,
        {"unshelve": "SUCCEEDED"},
    ),
    Scenario(
        "createImage fails in the background",
        """
        T api action_start createImage
        T h1 event_start compute_snapshot_instance
        VL h1 instance.snapshot.start active/image_snapshot
        T h1 event_finish.end compute_snapshot_instance
        T h1 fault !libvirtError active/image_pending_upload
        V h1 exception !libvirtError
        L h1 exception !libvirtError active/-
        """,
        {"createImage": "FAILED h1:libvirtError(NONE)"},
        but={"versioned": {"createImage": "FAILED h1:libvirtError(UNKNOWN)"}},
    ),
    Scenario(
        "createBackup whose rotation fails",
        """
        T api action_start createBackup
        T h1 event_start compute_backup_instance
        VL h1 instance.snapshot.start active/image_backup
        VL h1 instance.snapshot.end active/-
        T h1 fault !GlanceConnectionFailed active/-
        T h1 event_finish compute_backup_instance !GlanceConnectionFailed
        V h1 exception !GlanceConnectionFailed
        L h1 exception compute_backup_instance !GlanceConnectionFailed active/-
        """,
        {"createBackup": "FAILED h1:GlanceConnectionFailed(NONE)"},
        but={"versioned": {"createBackup": "FAILED h1:GlanceConnectionFailed(UNKNOWN)"}},
    ),
    Scenario(
        "changePassword",
        """
        T api action_start changePassword
        T h1 event_start compute_set_admin_password
        T h1 event_finish.end compute_set_admin_password
        """,
        {"changePassword": "SUCCEEDED"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "attach of a volume fails",
        """
        T api action_start attach_volume
        T h1 event_start compute_attach_volume
        V h1 instance.volume_attach.start active/-
        V h1 instance.volume_attach.error active/- !VolumeAttachFailed
        T h1 fault !VolumeAttachFailed active/-
        T h1 event_finish compute_attach_volume !VolumeAttachFailed
        V h1 exception !VolumeAttachFailed
        L h1 exception compute_attach_volume !VolumeAttachFailed active/-
        """,
        {"attach_volume": "FAILED h1:VolumeAttachFailed(NONE)"},
    ),
    Scenario(
        "reset of the state",
        """
        T api action_start resetState
        T api action_finish resetState
        """,
        {"resetState": "SUCCEEDED"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "the bus was gone when the API handed it on",
        """
        T api action_start stop active/powering-off
        T api action_finish stop active/powering-off !MessageDeliveryFailure
        """,
        {"stop": "FAILED api:MessageDeliveryFailure(NONE)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "the bus was gone when the API handed it on, and took it all the same",
        """
        T api action_start stop active/powering-off
        T api action_finish stop active/powering-off !MessageDeliveryFailure
        T h1 event_start compute_stop_instance active/powering-off
        T h1 event_finish.end compute_stop_instance stopped/-
        """,
        {"stop": "RECOVERED api:MessageDeliveryFailure(NONE)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "what a compute raises and the API answers is one failure",
        """
        T api action_start changePassword active/updating_password
        T h1 event_start compute_set_admin_password active/updating_password
        T h1 fault active/- !InstancePasswordSetFailed
        T h1 event_finish compute_set_admin_password active/- !InstancePasswordSetFailed
        T api action_finish changePassword active/updating_password !InstancePasswordSetFailed_Remote
        """,
        {"changePassword": "FAILED h1:InstancePasswordSetFailed(NONE)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "the image is deleted while it is made",
        """
        T api action_start createImage active/image_snapshot_pending
        T h1 event_start compute_snapshot_instance active/image_snapshot
        T h1 event_finish.end compute_snapshot_instance active/image_snapshot
        T h1 instance.update active/- !ImageNotFound
        """,
        {"createImage": "FAILED h1:ImageNotFound(NONE)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "the image of a backup is deleted while it is made",
        """
        T api action_start createBackup active/image_backup
        T h1 event_start compute_backup_instance active/image_backup
        T h1 instance.update active/- !ImageNotFound
        T h1 event_finish.end compute_backup_instance active/-
        """,
        {"createBackup": "FAILED h1:ImageNotFound(NONE)"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "the guest of a deleted server is gone already",
        """
        T api action_start delete active/deleting
        T h1 event_start compute_terminate_instance active/deleting
        V h1 instance.delete.start active/deleting
        L h1 instance.delete.start active/deleting
        T h1 event_finish.end compute_terminate_instance active/deleting
        """,
        {"delete": "IN_PROGRESS"},
    ),
    Scenario(
        "shelve of a server with its root on a volume",
        """
        T api action_start shelve active/shelving
        T h1 event_start compute_shelve_offload_instance active/shelving
        VL h1 instance.shelve_offload.start active/shelving
        VL h1 instance.shelve_offload.end shelved_offloaded/-
        T h1 event_finish.end compute_shelve_offload_instance shelved_offloaded/-
        """,
        {"shelve": "SUCCEEDED"},
    ),
    Scenario(
        "a delete in the middle of a resize, and what fails while its race is handled",
        """
        T api action_start resize active/resize_prep
        T h1 event_start compute_resize_instance active/resize_migrating
        T api action_start delete @req-2 active/deleting
        T h1 migration migration_status=error !UnexpectedDeletingTaskStateError
        T h1 instance.delete.end @req-2 deleted/-
        T h1 event_finish.end compute_terminate_instance @req-2 deleted/-
        T h1 fault error/resize_migrated !AllocationMoveFailed>UnexpectedDeletingTaskStateError
        T h1 event_finish compute_resize_instance error/- !AllocationMoveFailed>UnexpectedDeletingTaskStateError
        """,
        {"resize": "CANCELLED", "delete": "SUCCEEDED"},
        but={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "lock",
        """
        T api action_start lock
        T api event_start api_lock
        V api instance.lock active/-
        T api event_finish.end api_lock
        """,
        {"lock": "SUCCEEDED"},
        but={"legacy": {}},
    ),
    Scenario(
        "nothing but state",
        """
        VL h1 instance.update active/-
        VL h1 instance.exists active/- @req-audit sys
        """,
        {},
    ),
    Scenario(
        "rebuild deleted midway: Nova swallows what it stumbles over",
        """
        T api action_start rebuild active/rebuilding
        T h1 event_start compute_rebuild_instance active/rebuilding
        VL h1 instance.rebuild.start compute_rebuild_instance active/rebuilding
        T api action_start delete @req-2
        VL h1 instance.rebuild.error active/- !UnexpectedDeletingTaskStateError>NoRowsMatched
        T h1 event_finish.end compute_rebuild_instance active/-
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"rebuild": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "a stop that another change of the server overtakes",
        """
        T api action_start stop active/powering-off
        VL h1 instance.power_off.start active/powering-off
        T h1 fault !UnexpectedTaskStateError>NoRowsMatched stopped/-
        T h1 event_finish compute_stop_instance !UnexpectedTaskStateError>NoRowsMatched stopped/-
        V h1 exception compute_stop_instance !UnexpectedTaskStateError
        L h1 exception compute_stop_instance !UnexpectedTaskStateError stopped/-
        """,
        # The object says stopped, but that could not be saved.
        {"stop": "FAILED h1:UnexpectedTaskStateError(UNKNOWN)"},
    ),
    Scenario(
        "live migration: the destination fails at the end, the source says so again",
        """
        T api action_start live-migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating source_host=h1 dest_host=h2
        VL h1 instance.live_migration_post.start active/migrating source_host=h1
        T h2 event_start compute_post_live_migration_at_destination active/migrating
        T h2 fault !HypervisorUnavailable error/-
        T h2 event_finish compute_post_live_migration_at_destination !HypervisorUnavailable error/-
        L h2 exception compute_post_live_migration_at_destination !HypervisorUnavailable error/-
        V h2 exception compute_post_live_migration_at_destination !HypervisorUnavailable
        T h1 fault !HypervisorUnavailable active/migrating
        L h1 exception !HypervisorUnavailable active/migrating
        V h1 exception compute_post_live_migration_at_destination !HypervisorUnavailable
        T h1 migration migration_type=live-migration migration_status=error !HypervisorUnavailable
        """,
        {"live-migration": "FAILED h2:HypervisorUnavailable(ERROR)"},
        but={"versioned": {"live-migration": "FAILED h2:HypervisorUnavailable(UNKNOWN)"}},
    ),
    Scenario(
        "a guest that is missing long after a delete has failed",
        """
        T api action_start delete
        T h1 event_finish compute_terminate_instance !HypervisorUnavailable error/-
        V h1 exception compute_terminate_instance !HypervisorUnavailable
        L h1 exception compute_terminate_instance !HypervisorUnavailable error/-
        T api action_start reboot @req-2
        VL h1 instance.reboot.start error/rebooting @req-2
        T h1 event_finish compute_reboot_instance !InstanceNotFound @req-2
        VL h1 exception compute_reboot_instance !InstanceNotFound @req-2
        """,
        {"delete": "FAILED h1:HypervisorUnavailable(ERROR)", "reboot": "FAILED h1:InstanceNotFound(UNKNOWN)"},
        but={
            "versioned": {
                "delete": "FAILED h1:HypervisorUnavailable(UNKNOWN)",
                "reboot": "FAILED h1:InstanceNotFound(UNKNOWN)",
            },
        },
    ),
    Scenario(
        "create from a volume that Cinder does not give",
        """
        T con action_start create building/scheduling
        T h1 event_start compute__do_build_and_run_instance building/scheduling
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/block_device_mapping !BuildAbortException>InvalidBDM
        V h1 instance.volume_detach.start building/block_device_mapping
        VL h1 instance.volume_detach.end building/block_device_mapping
        T h1 fault !BuildAbortException>InvalidBDM building/block_device_mapping
        T h1 event_finish.end compute__do_build_and_run_instance error/-
        """,
        {"create": "FAILED h1:InvalidBDM(ERROR)"},
        but={way: {"create": "FAILED h1:InvalidBDM(UNKNOWN)"} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "live migration without a valid host",
        """
        T api action_start live-migration active/migrating
        T con event_start conductor_live_migrate_instance active/migrating
        T con fault !NoValidHost active/-
        VL con compute_task.migrate_server !NoValidHost active/- owner_project_id=
        T con migration migration_type=live-migration migration_status=error !NoValidHost
        T con event_finish conductor_live_migrate_instance !NoValidHost active/-
        """,
        {"live-migration": "FAILED con:NoValidHost(NONE)"},
    ),
    Scenario(
        "createBackup",
        """
        T api action_start createBackup
        T h1 event_start compute_backup_instance
        VL h1 instance.snapshot.start active/image_backup
        VL h1 instance.snapshot.end active/-
        T h1 event_finish.end compute_backup_instance
        """,
        {"createBackup": "SUCCEEDED"},
    ),
    Scenario(
        "a restarted compute gives a rebuild up",
        """
        T api action_start rebuild active/rebuilding
        T h1 event_start compute_rebuild_instance active/rebuilding
        VL h1 instance.rebuild.start compute_rebuild_instance active/rebuilding
        T h1 instance.update error/- @req-init sys
        """,
        {"rebuild": "FAILED h1:InterruptedByRestart(ERROR)"},
        but={way: {"rebuild": "IN_PROGRESS"} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "live migration: the destination is silent, the source ends the task and sets the error afterwards",
        """
        T api action_start live-migration active/migrating
        T h1 event_start compute_live_migration active/migrating
        T h1 event_finish.end compute_live_migration active/migrating
        VL h2 instance.live_migration_post_dest.start active/migrating
        T h1 fault !MessagingTimeout active/migrating
        T h1 instance.update active/-
        T h1 migration migration_type=live-migration migration_status=error !MessagingTimeout
        T h1 instance.update error/-
        """,
        {"live-migration": "FAILED h1:MessagingTimeout(ERROR)"},
        but={way: {"live-migration": "IN_PROGRESS"} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "a restarted source gives a live migration up: its abort is nobody's",
        """
        T api action_start live-migration active/migrating
        T h1 event_start compute_live_migration active/migrating
        T h1 event_finish.end compute_live_migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating
        VL h2 instance.live_migration_pre.end active/migrating
        T h1 migration migration_type=live-migration migration_status=running
        T h1 event_start compute_live_migration_abort active/migrating @req-init sys
        VL h1 instance.live_migration_abort.start active/migrating @req-init sys
        VL h1 instance.live_migration_abort.end active/migrating @req-init sys
        T h1 event_finish.end compute_live_migration_abort active/migrating @req-init sys
        T h1 migration migration_type=live-migration migration_status=error @req-init sys
        T h1 instance.update active/- @req-init sys
        """,
        {"live-migration": "FAILED h1:InterruptedByRestart(NONE)"},
        but={way: {"live-migration": "IN_PROGRESS"} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "a restarted compute takes a stop up, and the save of its end has a context of its own",
        """
        T api action_start stop active/powering-off
        T h1 event_start compute_stop_instance @req-init sys active/powering-off
        T h1 instance.update stopped/- @req-other sys
        VL h1 instance.power_off.end stopped/- @req-init sys
        T h1 event_finish.end compute_stop_instance @req-init sys
        """,
        {"stop": "SUCCEEDED"},
    ),
    Scenario(
        "a server that a periodic task looks at between two requests",
        """
        T api action_start stop active/powering-off
        VL h1 instance.power_off.end stopped/-
        T h1 event_finish.end compute_stop_instance stopped/-
        T h1 instance.update stopped/- @req-periodic sys
        T api action_start start @req-2 stopped/powering-on
        """,
        {"stop": "SUCCEEDED", "start": "IN_PROGRESS"},
        but={way: {"stop": "SUCCEEDED"} for way in ("versioned", "legacy", "both")},
    ),
]
