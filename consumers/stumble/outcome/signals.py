"""Tables of what the names of signals, steps, classes and services mean across all actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stumble.outcome.rules import RULES
from stumble.wire.ids import family_of_action

#: Actions that Nova is known to start under one request id on one server: each is a request of its own.
SAME_ID_PAIRS: Final = frozenset(
    frozenset(pair)
    for pair in (
        ("confirmResize", "delete"),  # a server in VERIFY_RESIZE is deleted
        ("extend_volume", "start"),  # one call of external events
        ("extend_volume", "stop"),
        ("start", "stop"),
    )
)

#: Action → those that Nova may start beside it under its request id.
SAME_ID_ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    one: frozenset(other for pair in SAME_ID_PAIRS if one in pair for other in pair - {one})
    for one in frozenset().union(*SAME_ID_PAIRS)
}
#: Action → signals, steps and actions that hint at such another action.
SAME_ID_HINTS: Final[Mapping[str, frozenset[str]]] = {
    one: same_id_actions.union(*(RULES[other].signals | RULES[other].steps for other in same_id_actions))
    for one, same_id_actions in SAME_ID_ACTIONS.items()
}

#: Notifications without a phase: the one message is the end.
PHASELESS: Final = frozenset({"instance.lock", "instance.unlock"})

#: Preferred actions where a signal or step fits several actions and nothing else decides.
_PREFERRED: Final = ("resize", "rebuild", "createImage", "stop")


def _names(attribute: str) -> Mapping[str, tuple[str, ...]]:
    """Map each signal (or step) to the actions that it may belong to, the likeliest first."""
    result: dict[str, list[str]] = {}
    for rule in RULES.values():
        for name in getattr(rule, attribute):
            result.setdefault(name, []).append(rule.action)
    return {
        name: tuple(sorted(actions, key=lambda action: (action not in _PREFERRED, action)))
        for name, actions in result.items()
    }


#: Signal → actions it may belong to. ``compute_task.*`` and signals without an entry name none.
SIGNAL_ACTIONS: Final = _names("signals")
#: Step → actions it may belong to.
STEP_ACTIONS: Final = _names("steps")
#: ``migration_type`` → action.
MIGRATION_ACTIONS: Final[Mapping[str, str]] = {
    "resize": "resize",
    "migration": "migrate",
    "live-migration": "live-migration",
    "evacuation": "evacuate",
}

#: Families of several actions: which of them it is can be corrected.
CORRECTABLE: Final = frozenset(family_of_action(name) for name in RULES if family_of_action(name) != name)

#: Signals that state the exact action of their request.
DECLARING: Final = frozenset({"action_start", "action_finish", "request"})
#: Signals that prove a request of its own, even without an initiator.
OWN: Final = DECLARING | {"step"}
#: Signal of the tap: a step's method gave up its work, or swallowed the exception that ended it.
STEP_UNDONE: Final = "step_undone"
#: Signals of one run of a step.
STEPPING: Final = frozenset({"event_start", "event_finish", "step"})
#: Signals with which the conductor gives up a request, and the actions that they may belong to.
GIVING_UP: Final[Mapping[str, tuple[str, ...]]] = {
    "compute_task.build_instances": ("create",),
    "compute_task.migrate_server": ("resize", "live-migration"),
    "compute_task.rebuild_server": ("rebuild", "evacuate"),
}
#: Signals that belong to the first action if they name no owner of the server, else to the second: only for a live
#: migration the conductor creates a request spec that has nothing but the server's id.
ACTIONS_BY_OWNER: Final[Mapping[str, tuple[str, str]]] = {
    "compute_task.migrate_server": ("live-migration", "resize"),
}
#: Signals whose state of the instance determines the action: signal → vm_state or task_state → action.
ACTIONS_BY_STATE: Final[Mapping[str, Mapping[str, str]]] = {
    "instance.power_on": {"shelved": "unshelve"},
    "instance.snapshot": {"image_backup": "createBackup"},
    # A volume-backed server is offloaded immediately: if it is not shelved yet, the action is shelve.
    "instance.shelve_offload": dict.fromkeys(("active", "stopped", "paused", "suspended"), "shelve"),
}

#: Signal of a change of the instance's states; its name fits no action.
UPDATE: Final = "instance.update"
#: Signals that show something of a request's course; others show only states.
MEANINGFUL: Final = (
    frozenset(SIGNAL_ACTIONS)
    | DECLARING
    | STEPPING
    | frozenset(GIVING_UP)
    | {
        "exception",
        "fault",
        "migration",
        STEP_UNDONE,
    }
)

_CONTEXT: Final = [
    rule
    for rule in RULES.values()
    if rule.ends_instance or any(other.aborted_by == rule.action for other in RULES.values())
]
#: Actions, signals and steps that change requests of the instance other than their own.
CONTEXT_ACTIONS: Final = frozenset(rule.action for rule in _CONTEXT)
CONTEXT_SIGNALS: Final = frozenset(name for rule in _CONTEXT for name in rule.signals)
CONTEXT_STEPS: Final = frozenset(name for rule in _CONTEXT for name in rule.steps)

MIGRATION_FAILED: Final = frozenset({"error", "failed"})
MIGRATION_CANCELLED: Final = frozenset({"cancelled"})
#: Types of migration whose record's end is the request's end.
MIGRATION_ENDS: Final[Mapping[str, frozenset[str]]] = {
    "live-migration": frozenset({"completed"}),
}

#: Classes that wrap what was raised on another host and name it (nova/conductor, nova/compute).
RELAYING_CLASSES: Final = frozenset({"MigrationPreCheckError", "MigrationError"})

#: Classes raised when Nova could not save the instance: the state in the event is then not the stored one.
UNSAVED: Final = frozenset({"UnexpectedTaskStateError", "UnexpectedDeletingTaskStateError"})

#: Class that only a running delete causes.
DELETING: Final = "UnexpectedDeletingTaskStateError"

#: task_states of a server that is being deleted.
DELETING_TASKS: Final = frozenset({"deleting", "soft-deleting"})

#: Classes that an earlier delete causes, too. It removes a migration's allocations while Nova moves them back to the
#: instance (``SchedulerReportClient.move_allocations``). It removes the network information together with the server
#: (nova/objects/instance_info_cache.py). A guest that it has stopped can't be moved
#: (nova/conductor/tasks/live_migrate.py).
COLLISIONS: Final = frozenset({"AllocationMoveFailed", "InstanceInfoCacheNotFound", "InstanceInvalidState"})

#: Services that call nova-compute: exceptions that they report may have been raised there.
CALLERS: Final = frozenset({"nova-conductor", "nova-api", "nova-scheduler"})

#: Reason of a failure without an exception.
SILENT_REASON: Final = "It failed; Nova gives no reason."
#: The same for failures whose name says more.
SILENT_REASONS: Final[Mapping[str, str]] = {
    "BuildTimedOut": "The server was not built within the time that the cloud allows.",
    "LiveMigrationRolledBack": "The live migration was stopped and undone; Nova gives no reason.",
}
