"""Deletes and their effects on other requests on the server."""

from __future__ import annotations

from tests.unit.outcome.scenarios.scenario import Scenario

DELETES = [
    Scenario(
        "stop, server deleted during it",
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
        "stop of a server whose guest is missing, the server is deleted afterwards",
        """
        T api action_start stop active/powering-off
        VL h1 instance.power_off.start active/powering-off
        T h1 fault !InstanceNotFound>libvirtError active/-
        T h1 event_finish compute_stop_instance !InstanceNotFound>libvirtError active/-
        VL h1 exception compute_stop_instance !InstanceNotFound>libvirtError active/-
        T api action_start delete active/deleting @req-2
        VL h1 instance.delete.start active/deleting @req-2
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"stop": "FAILED h1:InstanceNotFound(NONE)", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "live migration whose job fails because its server is deleted",
        """
        T api action_start live-migration active/migrating
        T h1 event_start compute_live_migration active/migrating
        T h1 event_finish.end compute_live_migration active/migrating
        VL h2 instance.live_migration_pre.start active/migrating
        T api action_start delete active/deleting @req-2
        VL h1 instance.delete.start active/deleting @req-2
        VL h1 instance.live_migration_rollback.start active/migrating
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"live-migration": "CANCELLED", "delete": "SUCCEEDED"},
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
        expected_by_way={"versioned": {"delete": "FAILED h1:InstanceTerminationFailure(UNKNOWN)"}},
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
        expected_by_way={
            way: {"delete": "SUCCEEDED", "delete#1": "FAILED h1:HypervisorUnavailable(UNKNOWN)"}
            for way in ("versioned", "legacy", "both")
        },
    ),
    Scenario(
        "delete of a server whose guest no longer exists",
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
        expected_by_way={
            "versioned": {
                "delete": "FAILED h1:HypervisorUnavailable(UNKNOWN)",
                "reboot": "FAILED h1:InstanceNotFound(UNKNOWN)",
            },
        },
    ),
    Scenario(
        "resize, server deleted before its allocations are moved back: only the versioned notification has the cause",
        """
        T api action_start resize
        T h1 event_start compute_resize_instance
        VL h1 instance.resize.start active/resize_migrating
        T api action_start delete @req-2
        VL h1 instance.delete.start active/deleting @req-2
        L h1 exception compute_resize_instance !AllocationMoveFailed
        V h1 exception compute_resize_instance !AllocationMoveFailed>UnexpectedDeletingTaskStateError>NoRowsMatched
        T h1 event_finish compute_resize_instance !AllocationMoveFailed>UnexpectedDeletingTaskStateError
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"resize": "CANCELLED", "delete": "SUCCEEDED"},
    ),
    Scenario(
        "resize that fails for another reason while its server is deleted",
        """
        T api action_start resize
        T h1 event_start compute_resize_instance
        VL h1 instance.resize.start active/resize_migrating
        T api action_start delete @req-2
        VL h1 instance.delete.start active/deleting @req-2
        L h1 exception compute_resize_instance !AllocationMoveFailed
        V h1 exception compute_resize_instance !AllocationMoveFailed>ResizeError
        T h1 event_finish compute_resize_instance !AllocationMoveFailed>ResizeError
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"resize": "FAILED h1:AllocationMoveFailed(UNKNOWN)", "delete": "SUCCEEDED"},
        # The legacy notification names no cause, so the running delete counts as the cause.
        expected_by_way={"legacy": {"resize": "CANCELLED", "delete": "SUCCEEDED"}},
    ),
    Scenario(
        "resize whose allocations could not be moved back before its server was deleted",
        """
        T api action_start resize
        T h1 event_start compute_resize_instance
        VL h1 instance.resize.start active/resize_migrating
        T h1 event_finish compute_resize_instance !AllocationMoveFailed
        VL h1 exception compute_resize_instance !AllocationMoveFailed
        T api action_start delete @req-2
        VL h1 instance.delete.start error/deleting @req-2
        VL h1 instance.delete.end deleted/- @req-2
        """,
        {"resize": "FAILED h1:AllocationMoveFailed(UNKNOWN)", "delete": "SUCCEEDED"},
    ),
]
