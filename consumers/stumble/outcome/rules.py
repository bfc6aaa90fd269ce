"""The table of rules: what names, ends, retries, swallows and interrupts each of Nova's actions.

Everything that differs between actions is here and nowhere else. The rules come from running Nova; a comment gives the
reason where a rule is surprising. Signals are named as ``source.signal`` names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

_NONE: Final[frozenset[str]] = frozenset()
_SILENT: Final[frozenset[tuple[str, str]]] = frozenset()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the end of an action or step needs besides, to be a success marker: Nova can end it without the work.

    A report of the tap that the step gave up always contradicts its Success. Where the end shows no state of the
    server, nothing else contradicts it.
    """

    #: While the server has one of these task_states, the work is not done: a failure or a later end will follow.
    unfinished_tasks: frozenset[str] = _NONE
    #: The server must have one of these vm_states then.
    vm_states: frozenset[str] = _NONE
    #: Or it had this task_state when the step began: another request was doing the same.
    same_task: str | None = None
    #: The request's migration must have, or have had, one of these statuses.
    migration_statuses: frozenset[str] = _NONE
    #: With one of these it may still get there: the server was deleted while the step worked.
    pending_statuses: frozenset[str] = _NONE


@dataclass(frozen=True, slots=True)
class ActionRule:
    """The rule of one action.

    ``signals``: notifications that are its own. ``ends``: those of them whose ``.end`` is a success marker.
    ``steps``: its own steps. ``end_steps``: those of them whose Success, as the tap shows it, is a success marker.
    """

    action: str
    signals: frozenset[str] = _NONE
    ends: frozenset[str] = _NONE
    steps: frozenset[str] = _NONE
    end_steps: frozenset[str] = _NONE
    #: Failures are attempts: another host may be tried. False: the first failure ends the request.
    retries: bool = False
    #: Steps whose failure is an attempt's. The failure of any other step ends even a request that retries.
    attempt_steps: frozenset[str] = _NONE
    #: Steps on the destination that the source waits for: the source reports their exceptions again.
    relayed_steps: frozenset[str] = _NONE
    #: Notifications whose ``.error`` is an attempt's.
    attempt_signals: frozenset[str] = _NONE
    #: Where attempts are retried: classes after which Nova never tries another host.
    final_classes: frozenset[str] = _NONE
    #: A recorded fault ends the request (create: no fault means that Nova tries another host).
    fault_ends: bool = True
    #: An exception that left its method, in a step that the signal does not name, ends the request.
    exception_ends: bool = True
    #: A migration record in error ends the request.
    migration_ends: bool = True
    #: Nova swallows its failures and still sends ``.end`` and Success: a marker does not turn a failure into a success.
    swallows: bool = False
    #: Steps whose failure another host swallows: a success marker that it sends does not turn it into a success.
    swallowed_steps: frozenset[str] = _NONE
    #: While this step runs, a success marker of a notification does not count.
    held_by: str | None = None
    #: Notification or step of ``ends`` and ``end_steps`` → what its end needs besides, to be a success marker.
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    #: Actions whose signals appear inside this one, under its request id, and are not requests of their own.
    inside: frozenset[str] = _NONE
    #: Action of another request on the instance that cancels this one.
    aborted_by: str | None = None
    #: Signals that show a failure without any exception.
    silent_failures: frozenset[tuple[str, str]] = _SILENT
    #: Class of a failure without any exception.
    silent_class: str = "UnknownError"
    #: A periodic task of Nova can set the server to ERROR while the work goes on: the name that this failure gets.
    timed_out_class: str | None = None
    #: Steps that undo the work: their failure is none that the work itself had.
    undoing_steps: frozenset[str] = _NONE
    #: Steps of the source that wait for ``relayed_steps``: what they report may have been raised there.
    waiting_steps: frozenset[str] = _NONE
    #: On failure, its signals show the instance before Nova changes it, or another copy of the instance.
    snapshots_lag: bool = False
    #: Nova ends the task first and sets the instance to error afterwards.
    error_comes_last: bool = False
    #: One call may start it several times on one server: the target is part of the key.
    by_target: bool = False
    #: The request states its own end (the library's requests do): nothing else ends it, earlier failures are attempts.
    stated: bool = False
    #: It deletes the instance, which ends the instance's open requests.
    ends_instance: bool = False


def _rule(action: str, **details: object) -> ActionRule:
    sets = {name: frozenset(value) if isinstance(value, (list, set)) else value for name, value in details.items()}
    return ActionRule(action, **sets)  # type: ignore[arg-type]


def _plain(action: str, notification: str, method: str, **details: object) -> ActionRule:
    """Return the rule of an action with one notification and one compute method, both of which show success."""
    signal, step = f"instance.{notification}", f"compute_{method}"
    return _rule(action, signals={signal}, ends={signal}, steps={step}, end_steps={step}, **details)


#: Classes after which Nova tries no other host (nova/compute/manager.py, _build_and_run_instance), with their
#: subclasses: it raises BuildAbortException, or gives up without an error state if the server or its guest is missing.
_BUILD_ABORTS: Final = {
    "InstanceNotFound",
    "UnexpectedDeletingTaskStateError",
    "BuildAbortException",
    "NoMoreFixedIps",
    "ExternalNetworkAttachForbidden",
    "VirtualInterfaceCreateException",
    "VirtualInterfaceMacAddressException",
    "FixedIpInvalidOnHost",
    "UnableToAutoAllocateNetwork",
    "NetworksWithQoSPolicyNotSupported",
    "VTPMSecretForbidden",
    "FlavorDiskTooSmall",
    "FlavorDiskSmallerThanImage",
    "FlavorDiskSmallerThanMinDisk",
    "VolumeSmallerThanMinDisk",
    "FlavorMemoryTooSmall",
    "ImageNotActive",
    "ImageUnacceptable",
    "InvalidDiskInfo",
    "InvalidDiskFormat",
    "SignatureVerificationError",
    "CertificateValidationFailed",
    "VolumeEncryptionNotSupported",
    "InvalidInput",
    "RequestedVRamTooHigh",
}

_RESIZE: Final[dict[str, object]] = {
    "signals": {"instance.resize", "instance.resize_prep", "instance.resize_finish"},
    # Nova sends resize_prep.end in a finally block; resize.end is the source's half.
    "ends": {"instance.resize_finish"},
    "steps": {
        "conductor_migrate_server",
        "cold_migrate",
        "compute_prep_resize",
        "compute_resize_instance",
        "compute_finish_resize",
        "compute_prep_snapshot_based_resize_at_dest",
        "compute_prep_snapshot_based_resize_at_source",
        "compute_finish_snapshot_based_resize_at_dest",
    },
    "end_steps": {"compute_finish_resize", "compute_finish_snapshot_based_resize_at_dest"},
    "retries": True,
    # .error is sent exactly when another host is tried; a fault is recorded then, too.
    "attempt_signals": {"instance.resize"},
    "fault_ends": False,
    "migration_ends": False,
    "inside": {"stop", "start"},
}

_REBUILD_SIGNALS: Final = frozenset({"instance.rebuild", "instance.rebuild_scheduled"})
_REBUILD: Final[dict[str, object]] = {
    "signals": _REBUILD_SIGNALS,
    "ends": {"instance.rebuild"},
    # rebuild_server is the conductor's: it ends when the call to nova-compute is sent.
    "steps": {"rebuild_server", "compute_rebuild_instance"},
    "end_steps": {"compute_rebuild_instance"},
    # Nova swallows the error that the server is being deleted: .error, then step Success.
    "swallows": True,
    # A guest that was stopped is stopped again at the end.
    "inside": {"stop", "start", "detach_volume", "attach_volume"},
}

_TABLE: Final[tuple[ActionRule, ...]] = (
    _rule(
        "create",
        signals={"instance.create"},
        ends={"instance.create"},
        # Its step is Success on failure too.
        steps={"compute__do_build_and_run_instance", "conductor_schedule_and_build_instances"},
        retries=True,
        attempt_signals={"instance.create"},
        final_classes=_BUILD_ABORTS,
        # The state is set to error after the fault is recorded.
        snapshots_lag=True,
        # nova/compute/manager.py, _check_instance_build_time
        timed_out_class="BuildTimedOut",
    ),
    _rule(
        "delete",
        signals={"instance.delete", "instance.soft_delete"},
        ends={"instance.delete", "instance.soft_delete"},
        steps={"compute_terminate_instance", "compute_soft_delete_instance"},
        end_steps={"compute_terminate_instance", "compute_soft_delete_instance"},
        # If the guest no longer exists, the step ends with Success and the server stays as it was.
        evidence=dict.fromkeys(
            ("compute_terminate_instance", "compute_soft_delete_instance"),
            Evidence(unfinished_tasks=frozenset({"deleting"})),
        ),
        ends_instance=True,
    ),
    _plain("restore", "restore", "restore_instance"),
    _rule(
        "stop",
        signals={"instance.power_off"},
        ends={"instance.power_off"},
        steps={"compute_stop_instance", "compute_power_update"},
        end_steps={"compute_stop_instance", "compute_power_update"},
        evidence={"compute_power_update": Evidence(vm_states=frozenset({"stopped"}), same_task="powering-off")},
        silent_class="PowerUpdateIgnored",
    ),
    _rule(
        "start",
        signals={"instance.power_on"},
        ends={"instance.power_on"},
        steps={"compute_start_instance", "compute_power_update"},
        end_steps={"compute_start_instance", "compute_power_update"},
        evidence={"compute_power_update": Evidence(vm_states=frozenset({"active"}), same_task="powering-on")},
        silent_class="PowerUpdateIgnored",
    ),
    # Nova swallows a failed reboot if the guest still runs: .error, then .end, step Success.
    _rule(
        "reboot",
        signals={"instance.reboot"},
        ends={"instance.reboot"},
        steps={"compute_reboot_instance"},
        swallows=True,
    ),
    _rule("rebuild", **_REBUILD),
    _rule("evacuate", **(_REBUILD | {"signals": {*_REBUILD_SIGNALS, "instance.evacuate"}})),
    _rule(
        "revertResize",
        signals={"instance.resize_revert"},
        ends={"instance.resize_revert"},
        steps={
            "conductor_revert_snapshot_based_resize",
            "compute_revert_resize",
            "compute_finish_revert_resize",
            "compute_revert_snapshot_based_resize_at_dest",
            "compute_finish_revert_snapshot_based_resize_at_source",
        },
        # compute_revert_resize is only half of the work.
        end_steps={"compute_finish_revert_resize", "conductor_revert_snapshot_based_resize"},
        inside={"stop", "start"},
    ),
    _rule(
        "confirmResize",
        signals={"instance.resize_confirm"},
        ends={"instance.resize_confirm"},
        steps={
            "compute_confirm_resize",
            "conductor_confirm_snapshot_based_resize",
            "compute_confirm_snapshot_based_resize_at_source",
        },
        end_steps={"compute_confirm_resize", "conductor_confirm_snapshot_based_resize"},
        evidence={
            "compute_confirm_resize": Evidence(
                migration_statuses=frozenset({"confirmed"}), pending_statuses=frozenset({"finished", "confirming"})
            ),
        },
        silent_class="ResizeNotConfirmed",
        # Nova fetches a copy of the instance inside the step, and sets that copy to error.
        snapshots_lag=True,
    ),
    _rule("resize", **_RESIZE),
    _rule("migrate", **_RESIZE),
    _plain("pause", "pause", "pause_instance"),
    _plain("unpause", "unpause", "unpause_instance"),
    _plain("suspend", "suspend", "suspend_instance"),
    _plain("resume", "resume", "resume_instance"),
    _plain("rescue", "rescue", "rescue_instance", inside={"stop"}),
    _plain("unrescue", "unrescue", "unrescue_instance"),
    # Nova sends no notification of its own for it.
    _rule("changePassword", steps={"compute_set_admin_password"}, end_steps={"compute_set_admin_password"}),
    # With shelved_offload_time=0 (Nova's default) shelve.end comes before an offload that may still fail.
    _rule(
        "shelve",
        signals={"instance.shelve"},
        ends={"instance.shelve", "instance.shelve_offload"},
        steps={"compute_shelve_instance"},
        end_steps={"compute_shelve_instance"},
        held_by="compute_shelve_instance",
        evidence=dict.fromkeys(
            ("instance.shelve", "instance.shelve_offload"),
            Evidence(unfinished_tasks=frozenset({"shelving_offloading"})),
        ),
        inside={"shelveOffload", "createImage", "stop"},
    ),
    _plain("shelveOffload", "shelve_offload", "shelve_offload_instance"),
    # A server that is shelved but not offloaded is only started.
    _rule(
        "unshelve",
        signals={"instance.unshelve"},
        ends={"instance.unshelve", "instance.power_on"},
        steps={"get_image_info", "schedule_instances", "compute_unshelve_instance"},
        end_steps={"compute_unshelve_instance", "compute_start_instance"},
        inside={"start"},
    ),
    _rule(
        "live-migration",
        signals={
            "instance.live_migration_pre",
            "instance.live_migration_post",
            "instance.live_migration_post_dest",
            "instance.live_migration_rollback",
            "instance.live_migration_rollback_dest",
        },
        # post_dest.end is the destination's half.
        ends={"instance.live_migration_post"},
        # compute_live_migration is Success as soon as the work is queued.
        steps={
            "conductor_live_migrate_instance",
            "compute_check_can_live_migrate_destination",
            "compute_check_can_live_migrate_source",
            "compute_pre_live_migration",
            "compute_live_migration",
            "compute_post_live_migration_at_destination",
            "compute_rollback_live_migration_at_destination",
        },
        retries=True,
        attempt_steps={"compute_check_can_live_migrate_destination", "compute_check_can_live_migrate_source"},
        relayed_steps={"compute_pre_live_migration", "compute_post_live_migration_at_destination"},
        # Its work goes on in the background, to _post_live_migration or _rollback_live_migration.
        waiting_steps={"compute_live_migration"},
        # The source of releases 20 to 29 goes on to post.end and `completed`.
        swallowed_steps={"compute_post_live_migration_at_destination"},
        undoing_steps={"compute_rollback_live_migration_at_destination"},
        fault_ends=False,
        exception_ends=False,
        silent_failures={("instance.live_migration_rollback", "START")},
        silent_class="LiveMigrationRolledBack",
        error_comes_last=True,
        aborted_by="live_migration_cancel",
    ),
    _plain("live_migration_cancel", "live_migration_abort", "live_migration_abort"),
    _plain("live_migration_force_complete", "live_migration_force_complete", "live_migration_force_complete"),
    _plain("trigger_crash_dump", "trigger_crash_dump", "trigger_crash_dump"),
    _rule(
        "extend_volume",
        steps={"compute_extend_volume"},
        end_steps={"compute_extend_volume"},
        evidence={"compute_extend_volume": Evidence()},
        silent_class="VolumeNotExtended",
        by_target=True,
    ),
    _plain("attach_interface", "interface_attach", "attach_interface"),
    _plain("detach_interface", "interface_detach", "detach_interface"),
    # The api_ steps are those of a shelved server: no notification is sent then.
    _rule(
        "attach_volume",
        signals={"instance.volume_attach"},
        ends={"instance.volume_attach"},
        steps={"compute_attach_volume", "api_attach_volume"},
        end_steps={"compute_attach_volume", "api_attach_volume"},
    ),
    _rule(
        "detach_volume",
        signals={"instance.volume_detach"},
        ends={"instance.volume_detach"},
        steps={"compute_detach_volume", "api_detach_volume"},
        end_steps={"compute_detach_volume", "api_detach_volume"},
    ),
    _plain("attach_share", "share_attach", "allow_share"),
    _plain("detach_share", "share_detach", "deny_share"),
    _plain("swap_volume", "volume_swap", "swap_volume"),
    _rule("lock", signals={"instance.lock"}, ends={"instance.lock"}, steps={"api_lock"}, end_steps={"api_lock"}),
    _rule(
        "unlock",
        signals={"instance.unlock"},
        ends={"instance.unlock"},
        steps={"api_unlock"},
        end_steps={"api_unlock"},
    ),
    # The backup's rotation may still fail after snapshot.end.
    _rule(
        "createBackup",
        signals={"instance.snapshot"},
        ends={"instance.snapshot"},
        steps={"compute_backup_instance"},
        end_steps={"compute_backup_instance"},
        held_by="compute_backup_instance",
        evidence={
            "compute_backup_instance": Evidence(
                unfinished_tasks=frozenset({"image_backup", "image_pending_upload", "image_uploading"})
            ),
        },
        # Nova swallows the error that the image was deleted meanwhile: step Success.
        swallows=True,
        inside={"createImage"},
    ),
    # compute_snapshot_instance is Success as soon as the work is queued; api_snapshot_instance (volume-backed) is all.
    _rule(
        "createImage",
        signals={"instance.snapshot"},
        ends={"instance.snapshot"},
        steps={"compute_snapshot_instance", "api_snapshot_instance"},
        end_steps={"api_snapshot_instance"},
    ),
    _rule("resetState"),
    _rule("refresh_volume_attachment"),
)

RULES: Final[Mapping[str, ActionRule]] = {rule.action: rule for rule in _TABLE}

#: Rule of an action that this release does not know: only its request's own end and failures count.
UNKNOWN_RULE: Final = ActionRule("")

#: The names of all actions, for counters; other names are counted as ``other``.
ACTIONS: Final = tuple(RULES)


@lru_cache(maxsize=1024)  # names of actions come from other programs
def rule_of(action: str | None, *, stated: bool = False) -> ActionRule:
    """Return the rule of an action; the empty one for an action that this release does not know."""
    rule = RULES.get(action or "", UNKNOWN_RULE)
    if not stated:
        return rule
    return replace(rule, stated=True, retries=True, ends=_NONE, end_steps=_NONE, held_by=None, silent_failures=_SILENT)
