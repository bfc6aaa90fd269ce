# Resize, cold migration, live migration, evacuation, shelving's way back.

story resize weight=6 needs=active,stopped leaves=resized moves=second
  request resize SUCCEEDED
  api action_start
  conductor + conductor_migrate_server
  conductor + cold_migrate
  conductor - cold_migrate wait=0.2
  conductor - conductor_migrate_server
  second + compute_prep_resize
  second instance.resize_prep.start task=resize_prep
  second migration pre-migrating
  second instance.resize_prep.end task=resize_prep wait=0.2
  second - compute_prep_resize
  host + compute_resize_instance
  host migration migrating
  host instance.resize.start task=resize_migrating
  host migration post-migrating
  host instance.resize.end task=resize_migrated
  host - compute_resize_instance
  second + compute_finish_resize
  second instance.resize_finish.start task=resize_finish
  second migration finished
  second instance.resize_finish.end vm=resized
  second - compute_finish_resize

story migrate weight=1 needs=active,stopped leaves=resized moves=second
  request migrate SUCCEEDED
  api action_start
  conductor + conductor_migrate_server
  conductor + cold_migrate
  conductor - cold_migrate wait=0.2
  conductor - conductor_migrate_server
  second + compute_prep_resize
  second instance.resize_prep.start task=resize_prep
  second instance.resize_prep.end task=resize_prep wait=0.2
  second - compute_prep_resize
  host + compute_resize_instance
  host instance.resize.start task=resize_migrating
  host instance.resize.end task=resize_migrated
  host - compute_resize_instance
  second + compute_finish_resize
  second instance.resize_finish.start task=resize_finish
  second instance.resize_finish.end vm=resized
  second - compute_finish_resize

# Nested steps show one exception three times.
story resize.no_valid_host weight=6 needs=active,stopped leaves=same
  request resize FAILED effect=NONE failures=a
  cause a NoValidHost
  api action_start
  conductor + conductor_migrate_server
  conductor + cold_migrate
  conductor compute_task.migrate_server.error !a
  conductor fault !a
  conductor - cold_migrate !a
  conductor - conductor_migrate_server !a

story resize.rescheduled weight=3 needs=active,stopped leaves=resized moves=third
  request resize RECOVERED effect=NONE failures=a
  cause a claim
  api action_start
  conductor + conductor_migrate_server
  conductor - conductor_migrate_server wait=0.2
  second + compute_prep_resize
  second instance.resize_prep.start task=resize_prep
  second fault !a
  second instance.resize.error !a wait=0.05
  second instance.resize_prep.end task=resize_prep wait=0.05
  second - compute_prep_resize
  conductor + conductor_migrate_server
  conductor - conductor_migrate_server wait=0.2
  third + compute_prep_resize
  third instance.resize_prep.start task=resize_prep
  third instance.resize_prep.end task=resize_prep wait=0.2
  third - compute_prep_resize
  host + compute_resize_instance
  host instance.resize.start task=resize_migrating
  host instance.resize.end task=resize_migrated
  host - compute_resize_instance
  third + compute_finish_resize
  third instance.resize_finish.start task=resize_finish
  third instance.resize_finish.end vm=resized
  third - compute_finish_resize

story resize.retries_exhausted weight=2 needs=active,stopped leaves=same
  request resize FAILED effect=NONE verdict=MaxRetriesExceeded failures=a,b
  cause a claim
  cause b claim
  cause v MaxRetriesExceeded
  api action_start
  conductor + conductor_migrate_server
  conductor - conductor_migrate_server wait=0.2
  second + compute_prep_resize
  second instance.resize_prep.start task=resize_prep
  second fault !a
  second instance.resize.error !a wait=0.05
  second instance.resize_prep.end task=resize_prep wait=0.05
  second - compute_prep_resize
  third + compute_prep_resize wait=0.3
  third instance.resize_prep.start task=resize_prep
  third fault !b
  third instance.resize.error !b wait=0.05
  third instance.resize_prep.end task=resize_prep wait=0.05
  third - compute_prep_resize
  conductor + conductor_migrate_server wait=0.3
  conductor compute_task.migrate_server.error !v
  conductor fault !v
  conductor - conductor_migrate_server !v

story resize.disk_lost weight=2 needs=active,stopped leaves=error moves=second
  request resize FAILED effect=ERROR failures=a
  cause a finish_resize
  api action_start
  conductor + conductor_migrate_server
  conductor - conductor_migrate_server wait=0.2
  second + compute_prep_resize
  second instance.resize_prep.start task=resize_prep
  second instance.resize_prep.end task=resize_prep wait=0.2
  second - compute_prep_resize
  host + compute_resize_instance
  host instance.resize.start task=resize_migrating
  host instance.resize.end task=resize_migrated
  host - compute_resize_instance
  second + compute_finish_resize
  second instance.resize_finish.start task=resize_finish
  second migration error !a
  second fault !a vm=error
  second - compute_finish_resize !a
  second exception !a

story revertResize weight=1 needs=resized leaves=active
  request revertResize SUCCEEDED
  api action_start
  second + compute_revert_resize
  second instance.resize_revert.start task=resize_reverting
  second - compute_revert_resize
  host + compute_finish_revert_resize
  host instance.resize_revert.end vm=active
  host - compute_finish_revert_resize

story live-migration weight=5 moves=second
  request live-migration SUCCEEDED
  api action_start
  conductor + conductor_live_migrate_instance
  second + compute_check_can_live_migrate_destination
  host + compute_check_can_live_migrate_source
  host - compute_check_can_live_migrate_source
  second - compute_check_can_live_migrate_destination
  conductor - conductor_live_migrate_instance
  host + compute_live_migration
  host - compute_live_migration
  host migration preparing
  second + compute_pre_live_migration
  second instance.live_migration_pre.start task=migrating
  second instance.live_migration_pre.end task=migrating wait=0.3
  second - compute_pre_live_migration
  host migration running
  host instance.live_migration_post.start wait=2
  second + compute_post_live_migration_at_destination
  second instance.live_migration_post_dest.start
  second instance.live_migration_post_dest.end task=migrating wait=0.2
  second - compute_post_live_migration_at_destination
  host instance.live_migration_post.end wait=0.1
  host migration completed

# A failed hypervisor job raises nothing (the class is the one that stumble gives it): rollback notifications and the migration's status are all there is.
story live-migration.rolled_back weight=4
  request live-migration FAILED effect=NONE failures=a
  cause a unraised.LiveMigrationRolledBack
  api action_start
  conductor + conductor_live_migrate_instance
  conductor - conductor_live_migrate_instance wait=0.3
  host + compute_live_migration
  host - compute_live_migration
  second + compute_pre_live_migration
  second instance.live_migration_pre.start task=migrating
  second instance.live_migration_pre.end task=migrating wait=0.3
  second - compute_pre_live_migration
  host migration running
  host instance.live_migration_rollback.start !a wait=2
  second + compute_rollback_live_migration_at_destination
  second instance.live_migration_rollback_dest.start
  second instance.live_migration_rollback_dest.end task=migrating wait=0.2
  second - compute_rollback_live_migration_at_destination
  host instance.live_migration_rollback.end wait=0.1
  host migration error

story live-migration.no_host weight=2
  request live-migration FAILED effect=NONE failures=a
  cause a NoValidHost
  api action_start
  conductor + conductor_live_migrate_instance
  conductor compute_task.migrate_server.error !a
  conductor fault !a
  conductor - conductor_live_migrate_instance !a

# The abort is a request of its own; the one it stops is cancelled, not failed.
story live-migration.cancelled weight=1
  request live-migration CANCELLED
  request live_migration_cancel SUCCEEDED id=1
  api action_start
  conductor + conductor_live_migrate_instance
  conductor - conductor_live_migrate_instance wait=0.3
  host + compute_live_migration
  host - compute_live_migration
  second + compute_pre_live_migration
  second instance.live_migration_pre.start task=migrating
  second instance.live_migration_pre.end task=migrating wait=0.3
  second - compute_pre_live_migration
  host migration running
  api action_start req=1 wait=1
  host + compute_live_migration_abort req=1
  host instance.live_migration_abort.start req=1
  host instance.live_migration_abort.end task=migrating req=1 wait=0.1
  host - compute_live_migration_abort req=1
  host instance.live_migration_rollback.start wait=0.3
  second instance.live_migration_rollback_dest.start
  second instance.live_migration_rollback_dest.end task=migrating wait=0.2
  host instance.live_migration_rollback.end wait=0.1
  host migration cancelled

story evacuate weight=0.3 moves=second
  request evacuate SUCCEEDED
  api action_start
  conductor + rebuild_server
  conductor - rebuild_server wait=0.2
  second + compute_rebuild_instance
  second instance.rebuild.start task=rebuilding
  second instance.rebuild.end wait=2
  second - compute_rebuild_instance

story rebuild weight=1 needs=active,stopped leaves=same
  request rebuild SUCCEEDED
  api action_start
  conductor + rebuild_server
  conductor - rebuild_server wait=0.2
  host + compute_rebuild_instance
  host instance.rebuild.start task=rebuilding
  host instance.rebuild.end wait=2
  host - compute_rebuild_instance

story rebuild.no_valid_host weight=1 leaves=error
  request rebuild FAILED effect=ERROR failures=a
  cause a NoValidHost
  api action_start
  conductor + rebuild_server
  conductor compute_task.rebuild_server.error !a vm=error
  conductor fault !a
  conductor - rebuild_server !a

story unshelve weight=1 needs=shelved_offloaded
  request unshelve SUCCEEDED
  api action_start
  conductor + schedule_instances
  conductor - schedule_instances wait=0.2
  host + compute_unshelve_instance
  host instance.unshelve.start task=spawning
  host instance.unshelve.end vm=active wait=2
  host - compute_unshelve_instance

# Nova sends no notification; only the step shows the failure.
story unshelve.no_valid_host weight=1 needs=shelved_offloaded leaves=same
  request unshelve FAILED effect=NONE failures=a
  cause a NoValidHost
  api action_start
  conductor + schedule_instances
  conductor - schedule_instances !a
