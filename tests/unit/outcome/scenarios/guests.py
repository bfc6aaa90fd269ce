"""Actions on a server that stays on its host: power, password, volumes, images, locks."""

from __future__ import annotations

from tests.unit.outcome.scenarios.scenario import Scenario

GUESTS = [
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
        expected_by_way={
            "versioned": {"stop": "FAILED h1:InstancePowerOffFailure(UNKNOWN)"},
        },
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
        expected_by_way={
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
        expected_by_way={
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
        expected_by_way={
            "tap+versioned": {"extend_volume": "FAILED h1:libvirtError(UNKNOWN)", "extend_volume#1": "IN_PROGRESS"},
            "versioned": {},
            "legacy": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
            "both": {"extend_volume": "FAILED h1:libvirtError(NONE)"},
        },
    ),
    Scenario(
        "two volumes of a server are extended by one call, one fails, its compute reports nothing else",
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
        expected_by_way={
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
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "reboot fails while the guest keeps running",
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
        "restarted compute finishes the user's stop",
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
        expected_by_way={"versioned": {"createImage": "FAILED h1:libvirtError(UNKNOWN)"}},
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
        expected_by_way={"versioned": {"createBackup": "FAILED h1:GlanceConnectionFailed(UNKNOWN)"}},
    ),
    Scenario(
        "changePassword",
        """
        T api action_start changePassword
        T h1 event_start compute_set_admin_password
        T h1 event_finish.end compute_set_admin_password
        """,
        {"changePassword": "SUCCEEDED"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
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
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "message bus unavailable when the API sent the request",
        """
        T api action_start stop active/powering-off
        T api action_finish stop active/powering-off !MessageDeliveryFailure
        """,
        {"stop": "FAILED api:MessageDeliveryFailure(NONE)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "message bus reported an error when the API sent the request, but delivered it",
        """
        T api action_start stop active/powering-off
        T api action_finish stop active/powering-off !MessageDeliveryFailure
        T h1 event_start compute_stop_instance active/powering-off
        T h1 event_finish.end compute_stop_instance stopped/-
        """,
        {"stop": "RECOVERED api:MessageDeliveryFailure(NONE)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "exception of a compute that the API returns is one failure",
        """
        T api action_start changePassword active/updating_password
        T h1 event_start compute_set_admin_password active/updating_password
        T h1 fault active/- !InstancePasswordSetFailed
        T h1 event_finish compute_set_admin_password active/- !InstancePasswordSetFailed
        T api action_finish changePassword active/updating_password !InstancePasswordSetFailed_Remote
        """,
        {"changePassword": "FAILED h1:InstancePasswordSetFailed(NONE)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "image deleted while it is created",
        """
        T api action_start createImage active/image_snapshot_pending
        T h1 event_start compute_snapshot_instance active/image_snapshot
        T h1 event_finish.end compute_snapshot_instance active/image_snapshot
        T h1 instance.update active/- !ImageNotFound
        """,
        {"createImage": "FAILED h1:ImageNotFound(NONE)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
    ),
    Scenario(
        "image of a backup deleted while it is created",
        """
        T api action_start createBackup active/image_backup
        T h1 event_start compute_backup_instance active/image_backup
        T h1 instance.update active/- !ImageNotFound
        T h1 event_finish.end compute_backup_instance active/-
        """,
        {"createBackup": "FAILED h1:ImageNotFound(NONE)"},
        expected_by_way={way: {} for way in ("versioned", "legacy", "both")},
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
        expected_by_way={"legacy": {}},
    ),
    Scenario(
        "state updates only",
        """
        VL h1 instance.update active/-
        VL h1 instance.exists active/- @req-audit sys
        """,
        {},
    ),
    Scenario(
        "stop that fails because another change of the server was faster",
        """
        T api action_start stop active/powering-off
        VL h1 instance.power_off.start active/powering-off
        T h1 fault !UnexpectedTaskStateError>NoRowsMatched stopped/-
        T h1 event_finish compute_stop_instance !UnexpectedTaskStateError>NoRowsMatched stopped/-
        V h1 exception compute_stop_instance !UnexpectedTaskStateError
        L h1 exception compute_stop_instance !UnexpectedTaskStateError stopped/-
        """,
        # The object has the state stopped, but Nova could not save it.
        {"stop": "FAILED h1:UnexpectedTaskStateError(UNKNOWN)"},
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
        "restarted compute repeats a stop, and saves its end with another request id",
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
        "periodic task updates a server between two requests",
        """
        T api action_start stop active/powering-off
        VL h1 instance.power_off.end stopped/-
        T h1 event_finish.end compute_stop_instance stopped/-
        T h1 instance.update stopped/- @req-periodic sys
        T api action_start start @req-2 stopped/powering-on
        """,
        {"stop": "SUCCEEDED", "start": "IN_PROGRESS"},
        expected_by_way={way: {"stop": "SUCCEEDED"} for way in ("versioned", "legacy", "both")},
    ),
]
