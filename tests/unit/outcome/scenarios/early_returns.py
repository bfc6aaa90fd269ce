"""Steps that end with Success although Nova gave their work up (docs/nova-early-returns.md)."""

from __future__ import annotations

from tests.unit.outcome.scenarios.scenario import Scenario

_WITHOUT_TAP: dict[str, dict[str, str]] = {way: {} for way in ("versioned", "legacy", "both")}

EARLY_RETURNS = [
    Scenario(
        "createBackup whose guest is lost",
        """
        T api action_start createBackup active/image_backup
        T h1 event_start compute_backup_instance active/image_backup
        VL h1 instance.snapshot.start active/image_backup
        T h1 step_undone.error compute_backup_instance !InstanceNotFound active/image_backup
        T h1 event_finish.end compute_backup_instance active/image_backup
        """,
        {"createBackup": "FAILED h1:InstanceNotFound(NONE)"},
        expected_by_way={way: {"createBackup": "IN_PROGRESS"} for way in _WITHOUT_TAP},
    ),
    Scenario(
        "createBackup that leaves its task",
        """
        T api action_start createBackup active/image_backup
        T h1 event_start compute_backup_instance active/image_backup
        T h1 event_finish.end compute_backup_instance active/image_backup
        """,
        {"createBackup": "IN_PROGRESS"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "createImage whose guest is lost",
        """
        T api action_start createImage active/image_snapshot_pending
        T h1 event_start compute_snapshot_instance active/image_snapshot_pending
        T h1 event_finish.end compute_snapshot_instance active/image_snapshot
        VL h1 instance.snapshot.start active/image_snapshot
        T h1 step_undone.error compute_snapshot_instance !InstanceNotFound active/image_snapshot
        """,
        {"createImage": "FAILED h1:InstanceNotFound(NONE)"},
        expected_by_way={way: {"createImage": "IN_PROGRESS"} for way in _WITHOUT_TAP},
    ),
    Scenario(
        "confirmResize that finds the migration in error",
        """
        T api action_start confirmResize resized/-
        T h1 event_start compute_confirm_resize resized/- migration_status=error
        T h1 event_finish.end compute_confirm_resize resized/- migration_status=error
        """,
        {"confirmResize": "FAILED h1:ResizeNotConfirmed(NONE)"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "confirmResize whose server is deleted meanwhile",
        """
        T api action_start confirmResize resized/-
        T h1 event_start compute_confirm_resize resized/- migration_status=confirming
        T api action_start delete resized/deleting @req-2
        VL h2 instance.delete.end deleted/- @req-2
        T h1 event_finish.end compute_confirm_resize resized/- migration_status=confirming
        """,
        {"confirmResize": "CANCELLED", "delete": "SUCCEEDED"},
        expected_by_way={way: {"delete": "SUCCEEDED"} for way in _WITHOUT_TAP},
    ),
    Scenario(
        "confirmResize that finds the migration confirmed",
        """
        T api action_start confirmResize resized/-
        T h1 event_start compute_confirm_resize resized/- migration_status=confirmed
        T h1 event_finish.end compute_confirm_resize resized/- migration_status=confirmed
        """,
        {"confirmResize": "SUCCEEDED"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "confirmResize whose step ends, and nothing shows the confirmation",
        """
        T api action_start confirmResize resized/-
        T h1 event_start compute_confirm_resize resized/-
        T h1 event_finish.end compute_confirm_resize resized/-
        """,
        {"confirmResize": "IN_PROGRESS"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "confirmResize whose migration record alone shows the confirmation",
        """
        T api action_start confirmResize resized/-
        T h1 event_start compute_confirm_resize resized/-
        T h1 migration migration_type=resize migration_status=confirmed
        T h1 event_finish.end compute_confirm_resize resized/-
        """,
        {"confirmResize": "SUCCEEDED"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "stop by a power update that another task preempts",
        """
        T api action_start stop active/-
        T h1 event_start compute_power_update active/rebooting
        T h1 event_finish.end compute_power_update active/rebooting
        """,
        {"stop": "FAILED h1:PowerUpdateIgnored(NONE)"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "stop by a power update whose save loses a race",
        """
        T api action_start stop active/-
        T h1 event_start compute_power_update active/-
        T h1 step_undone.error compute_power_update !UnexpectedTaskStateError active/powering-off
        T h1 event_finish.end compute_power_update active/powering-off
        """,
        {"stop": "FAILED h1:UnexpectedTaskStateError(NONE)"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "stop by a power update of a server that is stopped already",
        """
        T api action_start stop stopped/-
        T h1 event_start compute_power_update stopped/-
        T h1 event_finish.end compute_power_update stopped/-
        """,
        {"stop": "SUCCEEDED"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "stop by a power update of a server that Nova is stopping",
        """
        T api action_start stop active/powering-off
        T h1 event_start compute_power_update active/powering-off
        T h1 event_finish.end compute_power_update active/powering-off
        """,
        {"stop": "SUCCEEDED"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "stop by a power update, the driver leaves the state to Nova's periodic task",
        """
        T api action_start stop active/-
        T h1 event_start compute_power_update active/-
        VL h1 instance.power_off.start active/powering-off
        VL h1 instance.power_off.end active/powering-off
        T h1 event_finish.end compute_power_update active/powering-off
        """,
        {"stop": "SUCCEEDED"},
    ),
    Scenario(
        "start by a power update",
        """
        T api action_start start stopped/-
        T h1 event_start compute_power_update stopped/-
        T h1 event_finish.end compute_power_update active/-
        """,
        {"start": "SUCCEEDED"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "extend_volume of a volume that is not attached",
        """
        T api action_start extend_volume target_id=vol target_kind=volume
        T h1 event_start compute_extend_volume target_id=vol target_kind=volume
        T h1 step_undone.error compute_extend_volume !VolumeBDMNotFound target_id=vol target_kind=volume active/-
        T h1 event_finish.end compute_extend_volume target_id=vol target_kind=volume active/-
        """,
        {"extend_volume": "FAILED h1:VolumeBDMNotFound(NONE)"},
        expected_by_way=_WITHOUT_TAP,
    ),
    Scenario(
        "extend_volume of two volumes, one without connection",
        """
        T api action_start extend_volume target_id=one target_kind=volume
        T api action_start extend_volume target_id=two target_kind=volume
        T h1 event_start compute_extend_volume target_id=one target_kind=volume
        T h1 step_undone.error compute_extend_volume target_id=one target_kind=volume active/-
        T h1 event_finish.end compute_extend_volume target_id=one target_kind=volume active/-
        T h1 event_start compute_extend_volume target_id=two target_kind=volume
        T h1 event_finish.end compute_extend_volume target_id=two target_kind=volume active/-
        """,
        {"extend_volume": "FAILED h1:VolumeNotExtended(NONE)", "extend_volume#1": "SUCCEEDED"},
        expected_by_way=_WITHOUT_TAP,
    ),
]
