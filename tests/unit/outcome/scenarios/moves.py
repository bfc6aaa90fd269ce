"""Resizes, migrations, evacuations, live migrations, and actions on a resized server."""

from __future__ import annotations

from tests.unit.outcome.scenarios.scenario import Scenario

MOVES = [
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
        "delete of a server in VERIFY_RESIZE",
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
        "delete of a server in VERIFY_RESIZE, the confirmation fails",
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
        "resize fails on its only host, the verdict is raised there",
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
        expected_by_way={
            "versioned": {"resize": "FAILED h2:ComputeResourcesUnavailable(UNKNOWN) verdict=NoValidHost"},
            "legacy": {"resize": "FAILED h2:ComputeResourcesUnavailable(ERROR) verdict=NoValidHost"},
            "both": {"resize": "FAILED h2:ComputeResourcesUnavailable(ERROR) verdict=NoValidHost"},
        },
    ),
    Scenario(
        "migrate recognised by equal flavors",
        """
        VL h2 instance.resize_prep.start active/resize_prep action=resize old_flavor=m1 new_flavor=m1
        VL h2 instance.resize_finish.end resized/- action=resize
        """,
        {"migrate": "SUCCEEDED"},
        expected_by_way={"tap": {"migrate": "SUCCEEDED"}},
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
        expected_by_way={"versioned": {"rebuild": "SUCCEEDED"}},
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
        "live migration: the source refuses, the destination repeats the error",
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
        "live migration whose job Nova itself aborts after a time-out",
        """
        T api action_start live-migration active/migrating
        T h1 event_start compute_live_migration active/migrating
        T h1 event_finish.end compute_live_migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating
        VL h1 instance.live_migration_rollback.start active/migrating
        VL h1 instance.live_migration_rollback.end active/-
        T h1 migration migration_type=live-migration migration_status=cancelled
        """,
        {"live-migration": "FAILED h1:LiveMigrationRolledBack(NONE)"},
    ),
    Scenario(
        "live migration in the queue of a compute that is stopped",
        """
        T api action_start live-migration active/migrating
        T h1 event_start compute_live_migration active/migrating
        T h1 migration migration_type=live-migration migration_status=queued
        T h1 event_finish.end compute_live_migration active/migrating
        T h1 migration migration_type=live-migration migration_status=cancelled
        """,
        {"live-migration": "FAILED h1:LiveMigrationRolledBack(UNKNOWN)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "live migration whose job fails, and whose rollback on the destination fails",
        """
        T api action_start live-migration active/migrating
        T h1 event_finish.end compute_live_migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating
        VL h1 instance.live_migration_rollback.start active/migrating
        T h2 event_start compute_rollback_live_migration_at_destination active/migrating
        T h2 event_finish compute_rollback_live_migration_at_destination !HypervisorUnavailable active/migrating
        VL h2 exception compute_rollback_live_migration_at_destination !HypervisorUnavailable active/migrating
        VL h1 instance.live_migration_rollback.end active/-
        T h1 migration migration_type=live-migration migration_status=failed
        """,
        {"live-migration": "FAILED h1:LiveMigrationRolledBack(NONE) h2:HypervisorUnavailable(NONE)"},
    ),
    Scenario(
        "live migration whose job fails, and whose rollback on the source fails",
        """
        T api action_start live-migration active/migrating
        T h1 event_finish.end compute_live_migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating
        VL h1 instance.live_migration_rollback.start active/migrating
        T h1 fault !MessagingTimeout active/migrating
        VL h1 exception compute_live_migration !MessagingTimeout active/migrating
        T h1 migration migration_type=live-migration migration_status=error !MessagingTimeout
        T h1 instance.update error/-
        """,
        {"live-migration": "FAILED h1:LiveMigrationRolledBack(ERROR) h1:MessagingTimeout(ERROR)"},
        expected_by_way={
            way: {"live-migration": "FAILED h1:LiveMigrationRolledBack(UNKNOWN) h1:MessagingTimeout(UNKNOWN)"}
            for way in ("versioned", "legacy", "both")
        },
    ),
    Scenario(
        "live migration whose source gets no answer after the move",
        """
        T api action_start live-migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating
        VL h1 instance.live_migration_post.start active/migrating
        T h1 fault !MessagingTimeout active/migrating
        VL h1 exception compute_live_migration !MessagingTimeout
        T h1 migration migration_type=live-migration migration_status=error !MessagingTimeout
        T h1 instance.update error/-
        """,
        {"live-migration": "FAILED h1:MessagingTimeout(ERROR)"},
        expected_by_way={
            way: {"live-migration": "FAILED h1:MessagingTimeout(UNKNOWN)"} for way in ("versioned", "legacy", "both")
        },
    ),
    Scenario(
        "live migration: the destination fails at the end, the source of an older release completes it",
        """
        T api action_start live-migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating
        VL h1 instance.live_migration_post.start active/migrating
        VL h2 instance.live_migration_post_dest.start active/migrating
        T h2 instance.update error/migrating
        T h2 fault !HypervisorUnavailable error/migrating
        T h2 event_finish compute_post_live_migration_at_destination !HypervisorUnavailable error/migrating
        L h2 exception compute_post_live_migration_at_destination !HypervisorUnavailable error/migrating
        V h2 exception compute_post_live_migration_at_destination !HypervisorUnavailable
        VL h1 instance.live_migration_post.end active/migrating
        T h1 migration migration_type=live-migration migration_status=completed
        """,
        {"live-migration": "FAILED h2:HypervisorUnavailable(ERROR)"},
        expected_by_way={"versioned": {"live-migration": "FAILED h2:HypervisorUnavailable(UNKNOWN)"}},
    ),
    Scenario(
        "resize whose migration a periodic task closes after its state was reset",
        """
        T api action_start resize active/resize_prep
        T h2 migration migration_type=resize migration_status=finished migration_id=1
        T h2 event_finish.end compute_finish_resize resized/-
        VL h2 instance.resize_finish.end resized/-
        T h2 migration migration_type=resize migration_status=error migration_id=1 @req-periodic sys
        """,
        {"resize": "SUCCEEDED"},
    ),
    Scenario(
        "resize during which a periodic task closes the migration of an earlier one",
        """
        T api action_start resize active/resize_prep
        T h2 migration migration_type=resize migration_status=migrating migration_id=2
        T h1 migration migration_type=resize migration_status=failed migration_id=1 @req-periodic sys
        T h2 event_finish.end compute_finish_resize resized/-
        VL h2 instance.resize_finish.end resized/-
        """,
        {"resize": "SUCCEEDED"},
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
        "delete during a resize, with a further failure while Nova handles the race",
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
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "live migration: the destination fails at the end, the source repeats the error",
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
        expected_by_way={"versioned": {"live-migration": "FAILED h2:HypervisorUnavailable(UNKNOWN)"}},
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
        "live migration: the destination does not answer, the source ends the task and sets the error afterwards",
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
        expected_by_way={way: {"live-migration": "IN_PROGRESS"} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "restarted source gives up a live migration: its abort belongs to no user",
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
        expected_by_way={way: {"live-migration": "IN_PROGRESS"} for way in ("versioned", "legacy", "both")},
    ),
]
