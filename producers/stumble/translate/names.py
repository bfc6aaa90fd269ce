"""Tables of names: action, step and phase of each of Nova's signals.

Sources: ``nova/rpc.py`` (legacy event types), ``nova/objects/fields.py`` (versioned ones), ``nova/compute/manager.py``
and ``nova/conductor`` (which method sends what), ``nova/compute/instance_actions.py`` (spelling of actions).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """What a signal's name alone shows.

    ``action`` and ``step`` are None if several actions or steps send the same signal (rebuild and evacuate send
    ``rebuild``). ``side`` is the role of the sending
    host in a move: ``source`` or ``dest``.
    """

    action: str | None = None
    step: str | None = None
    side: str | None = None


#: Versioned name without phase → meaning.
INSTANCE_SIGNALS: Final[dict[str, Meaning]] = {
    "create": Meaning("create", "compute__do_build_and_run_instance"),
    "delete": Meaning("delete", "compute_terminate_instance"),
    "soft_delete": Meaning("delete", "compute_soft_delete_instance"),
    "restore": Meaning("restore", "compute_restore_instance"),
    "shutdown": Meaning(),
    "power_on": Meaning("start", "compute_start_instance"),
    "power_off": Meaning("stop", "compute_stop_instance"),
    "reboot": Meaning("reboot", "compute_reboot_instance"),
    "pause": Meaning("pause", "compute_pause_instance"),
    "unpause": Meaning("unpause", "compute_unpause_instance"),
    "suspend": Meaning("suspend", "compute_suspend_instance"),
    "resume": Meaning("resume", "compute_resume_instance"),
    "rescue": Meaning("rescue", "compute_rescue_instance"),
    "unrescue": Meaning("unrescue", "compute_unrescue_instance"),
    "trigger_crash_dump": Meaning("trigger_crash_dump", "compute_trigger_crash_dump"),
    "lock": Meaning("lock", "api_lock"),
    "unlock": Meaning("unlock", "api_unlock"),
    "rebuild": Meaning(None, "compute_rebuild_instance"),
    "rebuild_scheduled": Meaning(None, "rebuild_server"),
    "evacuate": Meaning("evacuate"),
    "resize_prep": Meaning("resize", "compute_prep_resize", "dest"),
    "resize": Meaning("resize", "compute_resize_instance", "source"),
    "resize_finish": Meaning("resize", "compute_finish_resize", "dest"),
    "resize_confirm": Meaning("confirmResize", "compute_confirm_resize", "source"),
    "resize_revert": Meaning("revertResize", "compute_finish_revert_resize", "source"),
    "live_migration_pre": Meaning("live-migration", "compute_pre_live_migration", "dest"),
    "live_migration_post": Meaning("live-migration", None, "source"),
    "live_migration_post_dest": Meaning(
        "live-migration",
        "compute_post_live_migration_at_destination",
        "dest",
    ),
    "live_migration_rollback": Meaning("live-migration", None, "source"),
    "live_migration_rollback_dest": Meaning(
        "live-migration",
        "compute_rollback_live_migration_at_destination",
        "dest",
    ),
    "live_migration_abort": Meaning("live_migration_cancel", "compute_live_migration_abort", "source"),
    "live_migration_force_complete": Meaning(
        "live_migration_force_complete",
        "compute_live_migration_force_complete",
        "source",
    ),
    "shelve": Meaning("shelve", "compute_shelve_instance"),
    # A shelve with offload time 0 sends these too, outside this step.
    "shelve_offload": Meaning(),
    "unshelve": Meaning("unshelve", "compute_unshelve_instance"),
    # createImage and createBackup.
    "snapshot": Meaning(),
    "volume_attach": Meaning("attach_volume", "compute_attach_volume"),
    "volume_detach": Meaning("detach_volume", "compute_detach_volume"),
    "volume_swap": Meaning("swap_volume", "compute_swap_volume"),
    "interface_attach": Meaning("attach_interface", "compute_attach_interface"),
    "interface_detach": Meaning("detach_interface", "compute_detach_interface"),
    "share_attach": Meaning("attach_share", "compute_allow_share"),
    "share_detach": Meaning("detach_share", "compute_deny_share"),
    "update": Meaning(),
}

#: The destination sends ``resize.error`` while it returns the attempt to the conductor.
RESIZE_ERROR: Final = Meaning("resize", "compute_prep_resize", "dest")

COMPUTE_TASKS: Final[dict[str, Meaning]] = {
    "build_instances": Meaning("create"),
    # resize, migrate and live-migration.
    "migrate_server": Meaning(),
    "rebuild_server": Meaning(None, "rebuild_server"),
}

#: Legacy name (between ``compute.instance.`` and the phase) → versioned name, if they differ.
_RENAMED: Final[dict[str, str]] = {
    "finish_resize": "resize_finish",
    "resize.confirm": "resize_confirm",
    "resize.prep": "resize_prep",
    "resize.revert": "resize_revert",
    "live.migration.abort": "live_migration_abort",
    "live.migration.force.complete": "live_migration_force_complete",
    "live_migration.pre": "live_migration_pre",
    "live_migration._post": "live_migration_post",
    "live_migration.post.dest": "live_migration_post_dest",
    "live_migration._rollback": "live_migration_rollback",
    "live_migration.rollback.dest": "live_migration_rollback_dest",
    # The API's local delete sends it, although Nova's own list of event types lacks it.
    "force_delete": "delete",
}
_SAME: Final = (
    *("create", "delete", "pause", "power_off", "power_on", "reboot", "rebuild", "rescue", "resize", "restore"),
    *("resume", "shelve", "shelve_offload", "shutdown", "snapshot", "soft_delete", "suspend"),
    *("trigger_crash_dump", "unpause", "unrescue", "unshelve"),
)

#: Legacy event type → (versioned signal, phase).
LEGACY_SIGNALS: Final[dict[str, tuple[str, str]]] = {
    f"compute.instance.{legacy}.{phase}": (f"instance.{name}", phase.upper())
    for legacy, name in ({name: name for name in _SAME} | _RENAMED).items()
    for phase in ("start", "end", "error")
} | {
    "compute.instance.evacuate": ("instance.evacuate", "PROGRESS"),
    "compute.instance.rebuild.scheduled": ("instance.rebuild_scheduled", "PROGRESS"),
    "compute.instance.update": ("instance.update", "PROGRESS"),
    # Sent once, in addition to the versioned `.end`.
    "compute.instance.volume.attach": ("instance.volume_attach", "END"),
    "compute.instance.volume.detach": ("instance.volume_detach", "END"),
    "compute_task.build_instances": ("compute_task.build_instances", "ERROR"),
    "compute_task.migrate_server": ("compute_task.migrate_server", "ERROR"),
    "compute_task.rebuild_server": ("compute_task.rebuild_server", "ERROR"),
}

#: Not translated: not part of an action of an instance, or another signal shows more.
DROPPED: Final[frozenset[str]] = frozenset(
    {
        # A periodic report of usage.
        "instance.exists",
        "compute.instance.exists",
        # Parts of addFixedIp/removeFixedIp, which Nova does not record as actions.
        "compute.instance.create_ip.start",
        "compute.instance.create_ip.end",
        "compute.instance.delete_ip.start",
        "compute.instance.delete_ip.end",
        # The hypervisor's connection, not an instance's action.
        "libvirt.connect.error",
        "compute.libvirt.error",
    }
)

#: Families of event types that do not concern an instance.
DROPPED_FAMILIES: Final[tuple[str, ...]] = (
    "aggregate.",
    "compute.metrics.",
    "flavor.",
    "HostAPI.",
    "keypair.",
    "libvirt.",
    "metrics.",
    "network.",
    "scheduler.",
    "server_group.",
    "servergroup.",
    "service.",
    "volume.",
)

#: Methods for whose failures Nova sends notifications, although they belong to no action of an instance.
NO_ACTION_METHODS: Final[frozenset[str]] = frozenset(
    {
        "add_fixed_ip_to_instance",
        "remove_fixed_ip_from_instance",
        "check_instance_shared_storage",
        "get_console_output",
        "get_diagnostics",
        "get_host_uptime",
        "get_instance_diagnostics",
        "get_mks_console",
        "get_rdp_console",
        "get_serial_console",
        "get_spice_console",
        "get_vnc_console",
        "host_maintenance_mode",
        "host_power_action",
        "quiesce_instance",
        "refresh_instance_security_rules",
        "reserve_block_device_name",
        "set_host_enabled",
        "unquiesce_instance",
        "validate_console_port",
        "volume_snapshot_create",
        "volume_snapshot_delete",
    }
)

#: Methods for whose failures Nova sends notifications, but which are not steps of that name.
STEPLESS_METHODS: Final[frozenset[str]] = frozenset(
    {
        "build_and_run_instance",
        "_snapshot_instance",
        "_mount_all_shares",
        "_umount_all_shares",
        "_mount_share",
        "_umount_share",
        "drop_move_claim_at_destination",
        "external_instance_event",
        "remove_volume_connection",
    }
)

#: Methods in which the work goes on that another step has queued → that method.
BACKGROUND_METHODS: Final[dict[str, str]] = {
    "_post_live_migration": "live_migration",
    "_rollback_live_migration": "live_migration",
}

#: Step → action, for steps that only one action runs.
STEP_ACTIONS: Final[dict[str, str]] = {
    meaning.step: meaning.action
    for meaning in INSTANCE_SIGNALS.values()
    if meaning.step and meaning.action and meaning.step != "compute_stop_instance"
} | {
    "compute_set_admin_password": "changePassword",
    "compute_extend_volume": "extend_volume",
    "compute_backup_instance": "createBackup",
    "compute_revert_resize": "revertResize",
    "compute_live_migration": "live-migration",
    "compute_check_can_live_migrate_destination": "live-migration",
    "compute_check_can_live_migrate_source": "live-migration",
    "compute_pre_live_migration": "live-migration",
    "conductor_live_migrate_instance": "live-migration",
    "cold_migrate": "resize",
    "compute_prep_snapshot_based_resize_at_dest": "resize",
    "compute_prep_snapshot_based_resize_at_source": "resize",
    "compute_finish_snapshot_based_resize_at_dest": "resize",
    "conductor_confirm_snapshot_based_resize": "confirmResize",
    "compute_confirm_snapshot_based_resize_at_source": "confirmResize",
    "conductor_revert_snapshot_based_resize": "revertResize",
    "compute_revert_snapshot_based_resize_at_dest": "revertResize",
    "compute_finish_revert_snapshot_based_resize_at_source": "revertResize",
    "conductor_schedule_and_build_instances": "create",
    "api_attach_volume": "attach_volume",
    "api_detach_volume": "detach_volume",
    "get_image_info": "unshelve",
    "schedule_instances": "unshelve",
}

#: First part of a legacy publisher id → binary.
LEGACY_SERVICES: Final[dict[str, str]] = {
    "api": "nova-api",
    "compute": "nova-compute",
    "compute_task": "nova-conductor",
    "conductor": "nova-conductor",
    "scheduler": "nova-scheduler",
}


def step_of_method(method: str, service: str | None) -> str | None:
    """Return the step that a manager's method runs as, or None if it is not a step of its own name."""
    if method in STEPLESS_METHODS:
        return None
    prefix = "conductor" if service == "nova-conductor" else "compute"
    return f"{prefix}_{BACKGROUND_METHODS.get(method, method)}"
