"""Which ways into stumble cannot know how a scenario ended, and why. Every way knows the scenarios not listed here.

The driver with its tap knows all of them. `untapped` is the driver with `tap = false`, the others are the bridge, by
notification format. Where a way has no signal, the record is absent or stays open; its outcome is never wrong.
"""

from __future__ import annotations

UNTAPPED, VERSIONED, LEGACY, BOTH = "untapped", "bridge-versioned", "bridge-legacy", "bridge-both"
BRIDGES = (VERSIONED, LEGACY, BOTH)
NOTIFICATIONS = (UNTAPPED, *BRIDGES)

BEYOND: dict[str, tuple[str, ...]] = {
    # Nova sends no notification of the end: only the tap reports it.
    "live migration: the driver raises": NOTIFICATIONS,
    "migrate: no valid host": NOTIFICATIONS,
    "extend_volume works": NOTIFICATIONS,
    "extend_volume of two volumes at once": NOTIFICATIONS,
    "attach_volume to a shelved server works": NOTIFICATIONS,
    "detach_volume from a shelved server works": NOTIFICATIONS,
    "unshelve: no valid host": NOTIFICATIONS,
    "unshelve: the image is gone": NOTIFICATIONS,
    "createImage of a volume-backed server works": NOTIFICATIONS,
    "changePassword works": NOTIFICATIONS,
    "resetState works": NOTIFICATIONS,
    "create fails, no other host may be tried": NOTIFICATIONS,
    "createImage of a server with its root on a volume: Cinder fails": NOTIFICATIONS,
    "extend_volume of two volumes, one fails": NOTIFICATIONS,
    "extend_volume of two volumes, the first fails": NOTIFICATIONS,
    "createImage: the image is deleted meanwhile": NOTIFICATIONS,
    "createBackup: the image is deleted meanwhile": NOTIFICATIONS,
    "stop: the bus is gone": NOTIFICATIONS,
    "start: the bus is gone": NOTIFICATIONS,
    "reboot: the bus is gone": NOTIFICATIONS,
    "pause: the bus is gone": NOTIFICATIONS,
    "suspend: the bus is gone": NOTIFICATIONS,
    "rescue: the bus is gone": NOTIFICATIONS,
    "shelve: the bus is gone": NOTIFICATIONS,
    "createImage: the bus is gone": NOTIFICATIONS,
    "createBackup: the bus is gone": NOTIFICATIONS,
    "trigger_crash_dump: the bus is gone": NOTIFICATIONS,
    "confirmResize: the bus is gone": NOTIFICATIONS,
    "revertResize: the bus is gone": NOTIFICATIONS,
    "delete: the bus is gone": NOTIFICATIONS,
    "changePassword: the bus is gone": NOTIFICATIONS,
    "attach_volume: the bus is gone": NOTIFICATIONS,
    "detach_volume: the bus is gone": NOTIFICATIONS,
    "attach_interface: the bus is gone": NOTIFICATIONS,
    "resize: the bus is gone": NOTIFICATIONS,
    "live-migration: the bus is gone": NOTIFICATIONS,
    "rebuild: the bus is gone": NOTIFICATIONS,
    "unshelve: the bus is gone": NOTIFICATIONS,
    "create: the bus is gone between conductor and compute": NOTIFICATIONS,
    "resetState while a server is stopped works": NOTIFICATIONS,
    "createBackup: the hypervisor has lost the guest": NOTIFICATIONS,
    "createImage: the hypervisor has lost the guest": NOTIFICATIONS,
    "createImage: the guest does not run": NOTIFICATIONS,
    "confirmResize: the migration is in error": NOTIFICATIONS,
    "extend_volume: the volume is not attached": NOTIFICATIONS,
    "extend_volume: the volume is not connected yet": NOTIFICATIONS,
    "stop by a power-update event: the server is stopped already": NOTIFICATIONS,
    "stop by a power-update event: the server is paused": NOTIFICATIONS,
    "stop by a power-update event: another task preempts it": NOTIFICATIONS,
    # Unversioned notifications contain the wrapper, not the exception inside.
    "create from a volume: Cinder fails": (LEGACY,),
    "create with an accelerator: it is never there": (LEGACY,),
    "rebuild of a server with its root on a volume: Cinder fails": (LEGACY,),
    # The versioned `compute.exception` has no instance, and no other notification has its request.
    "revertResize fails on the destination": (VERSIONED,),
    "extend_volume fails": (VERSIONED,),
    "changePassword fails": (VERSIONED,),
    "changePassword is not implemented": (VERSIONED,),
    "revertResize: the bus is gone between destination and source": (VERSIONED,),
    # The legacy format has no such notification.
    "attach_interface works": (LEGACY,),
    "detach_interface works": (LEGACY,),
    "lock works": (LEGACY,),
    "unlock works": (LEGACY,),
    "swap_volume works": (LEGACY,),
    "attach_share works": (LEGACY,),
    "detach_share works": (LEGACY,),
    "several requests at once: lock while an image is made": (LEGACY,),
}
"""Scenario → the ways that cannot know it."""
