"""THE table of restarts: what a nova-compute was doing when it was killed, and what must be known of it afterwards.

Plain data. `HOST1` runs on green threads, `HOST2` on native ones. All scenarios of one :class:`Round` are in flight
at once when its host is killed with -9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HOST1, HOST2, CONTROLLER = "host1", "host2", "controller"
INTERRUPTED = "InterruptedByRestart"
NEW_IMAGE = "a2459075-d96c-40d5-893e-577ff92e721c"


@dataclass(frozen=True)
class Expected:
    """What stumble must know of the request."""

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
    """Function that is being held up when the host is killed."""
    killed: str
    expected: Expected
    on: str = HOST1
    """Host that the server is on before."""
    before: tuple[dict[str, Any], ...] = ()
    """Server actions that prepare it, each waited for."""
    guest: int | None = None
    """Power state that the hypervisor shows after the kill, where the kill came later than the held call tells."""
    held_on: str = ""
    """Host of the held function, where it is not the one that is killed."""
    quick: bool = False
    """Part of every test run."""
    also: tuple[Expected, ...] = ()
    """Other requests that must be there: of the system, or of the preparation's options."""


def gives_up(name: str, action: Any, held: str, *, host: str = HOST1, effect: str = "NONE", **more: Any) -> Restart:
    """Return a scenario whose request nobody takes up again."""
    expected = Expected(more.pop("called"), "FAILED", ((host, INTERRUPTED),), effect)
    return Restart(name, action, held, host, expected, **more)


def resumes(name: str, action: Any, held: str, called: str, *, host: str = HOST1, **more: Any) -> Restart:
    """Return a scenario whose request the restarted service finishes."""
    return Restart(name, action, held, host, Expected(called, "SUCCEEDED"), **more)


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
    gives_up("create in spawn", None, "spawn", called="create", effect="ERROR", quick=True),
    gives_up("rebuild, old guest going", REBUILD, "destroy", called="rebuild", effect="ERROR"),
    gives_up("rebuild, new guest coming", REBUILD, "spawn", called="rebuild", effect="ERROR", quick=True),
    gives_up("resize, disk on its way", RESIZE, "migrate_disk_and_power_off", called="resize", quick=True),
    gives_up("migrate, disk on its way", MIGRATE, "migrate_disk_and_power_off", called="migrate"),
    gives_up("live migration, memory on its way", LIVE, "live_migration", called="live-migration", quick=True),
    gives_up("soft reboot, guest still up", SOFT, "reboot", called="reboot", quick=True),
    gives_up("snapshot", IMAGE, "snapshot", called="createImage", quick=True),
    gives_up("backup", BACKUP, "snapshot", called="createBackup", effect="UNKNOWN"),
    gives_up("pause, guest still up", PAUSE, "pause", called="pause"),
    gives_up("suspend", SUSPEND, "suspend", called="suspend", effect="UNKNOWN", quick=True),
    # The API waits for the answer, and says what it knows: that there was none.
    Restart(
        "password",
        PASSWORD,
        "set_admin_password",
        HOST1,
        Expected("changePassword", "FAILED", ((CONTROLLER, "MessagingTimeout"),)),
    ),
    gives_up("shelve", SHELVE, "snapshot", called="shelve", effect="UNKNOWN"),
    resumes("stop", STOP, "power_off", "stop", quick=True),
    resumes("start", START, "power_on", "start", before=(STOP,)),
    resumes("hard reboot, guest down", HARD, "reboot", "reboot", guest=4),
    resumes("delete", {}, "destroy", "delete"),
)

DESTINATION: tuple[Restart, ...] = (
    gives_up("resize, destination claims", RESIZE, "prep_resize", host=HOST2, called="resize", effect="UNKNOWN"),
    gives_up("resize, guest coming up", RESIZE, "finish_migration", host=HOST2, called="resize", effect="UNKNOWN"),
    gives_up(
        "revert, guest going", REVERT, "destroy", host=HOST2, called="revertResize", effect="UNKNOWN", before=(RESIZE,)
    ),
    gives_up("unshelve", UNSHELVE, "spawn", host=HOST2, on=HOST2, called="unshelve", effect="ERROR", before=(SHELVE,)),
    gives_up("create on native threads", None, "spawn", host=HOST2, on=HOST2, called="create", effect="ERROR"),
    gives_up("snapshot on native threads", IMAGE, "snapshot", host=HOST2, on=HOST2, called="createImage"),
    resumes("stop on native threads", STOP, "power_off", "stop", host=HOST2, on=HOST2),
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
