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
    "unshelve: the image is deleted": NOTIFICATIONS,
    "createImage of a volume-backed server works": NOTIFICATIONS,
    "changePassword works": NOTIFICATIONS,
    "resetState works": NOTIFICATIONS,
    "create fails, no other host may be tried": NOTIFICATIONS,
    "createImage of a server with its root on a volume: Cinder fails": NOTIFICATIONS,
    "extend_volume of two volumes, one fails": NOTIFICATIONS,
    "extend_volume of two volumes, the first fails": NOTIFICATIONS,
    "createImage: the image is deleted meanwhile": NOTIFICATIONS,
    "createBackup: the image is deleted meanwhile": NOTIFICATIONS,
    "stop: the message bus is down": NOTIFICATIONS,
    "start: the message bus is down": NOTIFICATIONS,
    "reboot: the message bus is down": NOTIFICATIONS,
    "pause: the message bus is down": NOTIFICATIONS,
    "suspend: the message bus is down": NOTIFICATIONS,
    "rescue: the message bus is down": NOTIFICATIONS,
    "shelve: the message bus is down": NOTIFICATIONS,
    "createImage: the message bus is down": NOTIFICATIONS,
    "createBackup: the message bus is down": NOTIFICATIONS,
    "trigger_crash_dump: the message bus is down": NOTIFICATIONS,
    "confirmResize: the message bus is down": NOTIFICATIONS,
    "revertResize: the message bus is down": NOTIFICATIONS,
    "delete: the message bus is down": NOTIFICATIONS,
    "changePassword: the message bus is down": NOTIFICATIONS,
    "attach_volume: the message bus is down": NOTIFICATIONS,
    "detach_volume: the message bus is down": NOTIFICATIONS,
    "attach_interface: the message bus is down": NOTIFICATIONS,
    "resize: the message bus is down": NOTIFICATIONS,
    "live-migration: the message bus is down": NOTIFICATIONS,
    "rebuild: the message bus is down": NOTIFICATIONS,
    "unshelve: the message bus is down": NOTIFICATIONS,
    "create: the message bus is down between conductor and compute": NOTIFICATIONS,
    "resetState while a server is stopped works": NOTIFICATIONS,
    # Unversioned notifications contain the wrapper, not the exception inside.
    "create from a volume: Cinder fails": (LEGACY,),
    "create with an accelerator: it is never there": (LEGACY,),
    "rebuild of a server with its root on a volume: Cinder fails": (LEGACY,),
    # The versioned `compute.exception` has no instance, and no other notification has its request.
    "revertResize fails on the destination": (VERSIONED,),
    "extend_volume fails": (VERSIONED,),
    "changePassword fails": (VERSIONED,),
    "changePassword is not implemented": (VERSIONED,),
    "revertResize: the message bus is down between destination and source": (VERSIONED,),
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
