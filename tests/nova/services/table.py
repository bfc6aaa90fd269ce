"""The table of restarts: the request in progress when a nova-compute is killed, and its expected record.

Plain data. `HOST1` runs on green threads, `HOST2` on native ones. All scenarios of one host are in progress at the
same time when it is killed with -9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HOST1, HOST2, CONTROLLER = "host1", "host2", "controller"
INTERRUPTED = "InterruptedByRestart"
NEW_IMAGE = "a2459075-d96c-40d5-893e-577ff92e721c"


@dataclass(frozen=True)
class Expected:
    """The expected record of the request."""

    action: str
    outcome: str
    failures: tuple[tuple[str, str], ...] = ()
    """(host, exception class) of every failure."""
    effect: str = "NONE"


@dataclass(frozen=True)
class Restart:
    """One line of the table."""

    name: str
    action: dict[str, Any] | None
    """Body of the server action; None creates a server, an empty dict deletes it."""
    held: str
    """Function that blocks when the host is killed."""
    killed: str
    expected: Expected
    on: str = HOST1
    """Host of the server before the request."""
    before: tuple[dict[str, Any], ...] = ()
    """Server actions that prepare it, one after another."""
    guest: int | None = None
    """Power state that the hypervisor shows after the kill, if the real call would have changed it already."""
    held_on: str = ""
    """Host of the blocked function, where it is not the one that is killed."""
    quick: bool = False
    """Part of every test run."""
    also: tuple[Expected, ...] = ()
    """Other expected requests: of periodic tasks, or of the preparation's options."""


def interrupted(name: str, action: Any, held: str, *, host: str = HOST1, effect: str = "NONE", **more: Any) -> Restart:
    """Return a scenario whose request does not continue after the restart."""
    expected = Expected(more.pop("action_name"), "FAILED", ((host, INTERRUPTED),), effect)
    return Restart(name, action, held, host, expected, **more)


def resumed(name: str, action: Any, held: str, action_name: str, *, host: str = HOST1, **more: Any) -> Restart:
    """Return a scenario whose request the restarted service finishes."""
    return Restart(name, action, held, host, Expected(action_name, "SUCCEEDED"), **more)


STOP, START = {"os-stop": None}, {"os-start": None}
SOFT, HARD = {"reboot": {"type": "SOFT"}}, {"reboot": {"type": "HARD"}}
PAUSE, SUSPEND = {"pause": None}, {"suspend": None}
REBUILD = {"rebuild": {"imageRef": NEW_IMAGE}}
RESIZE, MIGRATE = {"resize": {"flavorRef": "2"}}, {"migrate": {"host": HOST2}}
LIVE = {"os-migrateLive": {"host": HOST2, "block_migration": "auto"}}
IMAGE, SHELVE = {"createImage": {"name": "an image"}}, {"shelve": None}
BACKUP = {"createBackup": {"name": "a backup", "backup_type": "daily", "rotation": 1}}
CONFIRM, REVERT = {"confirmResize": None}, {"revertResize": None}
UNSHELVE = {"unshelve": {"host": HOST2}}
PASSWORD = {"changePassword": {"adminPass": "secret"}}

SOURCE: tuple[Restart, ...] = (
    interrupted("create in spawn", None, "spawn", action_name="create", effect="ERROR", quick=True),
    interrupted("rebuild, old guest going", REBUILD, "destroy", action_name="rebuild", effect="ERROR"),
    interrupted("rebuild, new guest coming", REBUILD, "spawn", action_name="rebuild", effect="ERROR", quick=True),
    interrupted("resize, disk on its way", RESIZE, "migrate_disk_and_power_off", action_name="resize", quick=True),
    interrupted("migrate, disk on its way", MIGRATE, "migrate_disk_and_power_off", action_name="migrate"),
    interrupted("live migration, memory on its way", LIVE, "live_migration", action_name="live-migration", quick=True),
    interrupted("soft reboot, guest still up", SOFT, "reboot", action_name="reboot", quick=True),
    interrupted("snapshot", IMAGE, "snapshot", action_name="createImage", quick=True),
    interrupted("backup", BACKUP, "snapshot", action_name="createBackup", effect="UNKNOWN"),
    interrupted("pause, guest still up", PAUSE, "pause", action_name="pause"),
    interrupted("suspend", SUSPEND, "suspend", action_name="suspend", effect="UNKNOWN", quick=True),
    # The API waits for the compute's answer, and reports that there was none.
    Restart(
        "password",
        PASSWORD,
        "set_admin_password",
        HOST1,
        Expected("changePassword", "FAILED", ((CONTROLLER, "MessagingTimeout"),)),
    ),
    interrupted("shelve", SHELVE, "snapshot", action_name="shelve", effect="UNKNOWN"),
    resumed("stop", STOP, "power_off", "stop", quick=True),
    resumed("start", START, "power_on", "start", before=(STOP,)),
    resumed("hard reboot, guest down", HARD, "reboot", "reboot", guest=4),
    resumed("delete", {}, "destroy", "delete"),
)

DESTINATION: tuple[Restart, ...] = (
    interrupted(
        "resize, destination claims", RESIZE, "prep_resize", host=HOST2, action_name="resize", effect="UNKNOWN"
    ),
    interrupted(
        "resize, guest coming up", RESIZE, "finish_migration", host=HOST2, action_name="resize", effect="UNKNOWN"
    ),
    interrupted(
        "revert, guest going",
        REVERT,
        "destroy",
        host=HOST2,
        action_name="revertResize",
        effect="UNKNOWN",
        before=(RESIZE,),
    ),
    interrupted(
        "unshelve", UNSHELVE, "spawn", host=HOST2, on=HOST2, action_name="unshelve", effect="ERROR", before=(SHELVE,)
    ),
    interrupted("create on native threads", None, "spawn", host=HOST2, on=HOST2, action_name="create", effect="ERROR"),
    interrupted("snapshot on native threads", IMAGE, "snapshot", host=HOST2, on=HOST2, action_name="createImage"),
    resumed("stop on native threads", STOP, "power_off", "stop", host=HOST2, on=HOST2),
    Restart(
        "live migration, destination prepares",
        LIVE,
        "pre_live_migration",
        HOST2,
        Expected("live-migration", "FAILED", ((HOST1, "MessagingTimeout"),)),
    ),
    Restart(
        "live migration, destination takes over",
        LIVE,
        "post_live_migration_at_destination",
        HOST2,
        Expected("live-migration", "FAILED", ((HOST1, "MessagingTimeout"),), "ERROR"),
    ),
)

RESTARTS = (*SOURCE, *DESTINATION)
