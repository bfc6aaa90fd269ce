"""The types and constants of the scenarios: the preparation, the request, the faults, the expected record.

Plain data, so that the tests outside Nova's environment read the same table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

HOST1, HOST2, CONTROLLER = "host1", "host2", "controller"
HOST3 = "host3"
"""The host in another cell."""
ANY_CLASS = "*"
"""Stands for any exception class: Nova raises none, or one of several in the chain may be shown."""


class Kind:
    """Kinds of problems that stumble must get right, each with several scenarios; the words are those of the table."""

    CLIENT = "class of a client library"
    TIME_OUT = "Nova's own time-out or stop ends it"
    LOST_GUEST = "guest lost"
    DELETED_IN_ERROR = "deleted after it failed"
    NO_RETRY = "class for which Nova tries no other host"
    CAUSE = "cause inside an exception"
    AFTER_MOVE = "failure after the guest has moved"
    BOOKKEEPING = "bookkeeping of a periodic task"
    REMOTE = "exception that crossed RPC"
    SECRET = "secret in a text"
    UNDONE = "Success of a step that did nothing"


@dataclass(frozen=True)
class Call:
    """One API request, or with method DO an operation on the cloud itself, a name in `Cloud.OPERATIONS`.

    `{server}`, `{image}`, `{volume}`, `{port}` … are replaced when it is sent.
    """

    method: str
    path: str
    body: Any = None
    admin: bool = False
    accept: tuple[int, ...] = ()
    """Statuses besides 2xx that are no error of the scenario."""


@dataclass(frozen=True)
class Fault:
    """A function of Nova that fails, or does something else, while the scenario's request runs.

    `where` is the dotted path of a function or method; `raises` that of an exception class, created with `arguments`
    and `keywords`; `does` instead names a behaviour of `faults`. `host` limits it to one serving host, `times` to
    the first calls there.
    """

    where: str
    raises: str = ""
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    does: str = ""
    host: str | None = None
    times: int | None = None
    after: int = 0
    """Number of successful calls there before the fault applies."""
    asks: tuple[Call, ...] = ()
    """The API requests that some behaviours of `does` send while the function runs."""


@dataclass(frozen=True)
class Expected:
    """The expected record of one request, in the terms of design.md."""

    action: str
    outcome: str
    failures: tuple[tuple[str, str], ...] = ()
    """(host, exception class) of every failure; `ANY_CLASS` where Nova gives none."""
    verdict: str | None = None
    effect: str | None = None
    """Effect of the failures on the instance; None where nothing failed, or where it is not compared."""
    blame: tuple[str, ...] = ()
    """What each failure's blame may be; empty: any."""
    reason_has: tuple[str, ...] = ()
    """Texts that the request's reason contains, in any case of letters."""
    reason_lacks: tuple[str, ...] = ()
    """Texts that no reason contains, and no signal of any way reveals."""
    earlier: tuple[str, ...] = ()
    """Final outcomes that Nova's signals show before this one, where Nova ends the request more than once."""


@dataclass(frozen=True)
class Scenario:
    """One line of the table."""

    name: str
    given: str
    """Name of the preparation, a key of `GIVEN`."""
    call: Call
    expected: tuple[Expected, ...]
    """Every request of the call's request id, in the order of their start; empty: no request at all."""
    faults: tuple[Fault, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    """nova.conf options while it runs, `group.name` or `name`."""
    tour: bool = False
    """Part of the tour that `make nova` shows."""
    before: tuple[Call, ...] = ()
    """More preparation, after `given`."""
    cleanup: tuple[Call, ...] = ()
    """Calls that restore the cloud for the next scenarios."""
    judged: str = "call"
    """Which request is compared: that of the `call`, the first that a fault sends `midway`, or the last one `after`."""
    after: tuple[Call, ...] = ()
    """What happens to the server once the request is over and Nova is idle; the faults are gone then."""
    kind: str = ""
    """The kind of problem that the scenario is an example of, a value of `Kind`; empty: an ordinary end."""


def ok(action: str) -> tuple[Expected, ...]:
    """Return the record of a request that succeeds."""
    return (Expected(action, "SUCCEEDED"),)


def failed(
    action: str,
    *failures: tuple[str, str],
    effect: str | None = "NONE",
    verdict: str | None = None,
    blame: tuple[str, ...] = (),
    reason_has: tuple[str, ...] = (),
    reason_lacks: tuple[str, ...] = (),
    earlier: tuple[str, ...] = (),
) -> tuple[Expected, ...]:
    """Return the record of a failed request."""
    return (Expected(action, "FAILED", failures, verdict, effect, blame, reason_has, reason_lacks, earlier),)


def without_bus(where: str) -> tuple[Fault, ...]:
    """Return the fault of a message bus that is unavailable when a function sends a message."""
    return (Fault(where, "oslo_messaging.exceptions.MessageDeliveryFailure", ("unable to connect to AMQP server",)),)


def accepting_500(call: Call) -> Call:
    """Return a call that may also be answered with HTTP 500."""
    return replace(call, accept=(*call.accept, 500))


def request_during(where: str, *calls: Call) -> tuple[Fault, ...]:
    """Return the fault that sends API requests before the first call of a function."""
    return (Fault(where, does="asks midway", asks=calls, times=1),)


def action(body: dict[str, Any], *, admin: bool = False, accept: tuple[int, ...] = ()) -> Call:
    """Return the API request of a server action."""
    return Call("POST", "/servers/{server}/action", body, admin=admin, accept=accept)


def spawn(exception: str, host: str | None = None, **keywords: Any) -> Fault:
    """Return a fault of the virt driver's spawn."""
    return driver("spawn", exception, host, **keywords)


def driver(method: str, exception: str, host: str | None = None, **keywords: Any) -> Fault:
    """Return a fault of one method of the virt driver; `exception` without a dot is one of nova.exception."""
    return raising(f"nova.virt.fake.FakeDriver.{method}", exception, host=host, **keywords)


def raising(where: str, exception: str, *arguments: Any, host: str | None = None, **keywords: Any) -> Fault:
    """Return a fault of any function; `exception` without a dot is one of nova.exception."""
    path = exception if "." in exception else f"nova.exception.{exception}"
    return Fault(where, path, arguments, keywords, host=host)


CREATE_BODY = {"server": {"name": "tour", "imageRef": "{image}", "flavorRef": "1", "networks": "none"}}
CREATE = Call("POST", "/servers", CREATE_BODY)
CREATE_WITH_PORT = Call("POST", "/servers", {"server": CREATE_BODY["server"] | {"networks": [{"port": "{port}"}]}})
CREATE_HUGE = Call("POST", "/servers", {"server": CREATE_BODY["server"] | {"flavorRef": "{huge_flavor}"}})
DELETE = Call("DELETE", "/servers/{server}")
START, STOP = action({"os-start": None}), action({"os-stop": None})
PAUSE, UNPAUSE = action({"pause": None}), action({"unpause": None})
SUSPEND, RESUME = action({"suspend": None}), action({"resume": None})
RESCUE, UNRESCUE = action({"rescue": None}), action({"unrescue": None})
REBOOT_SOFT, REBOOT_HARD = action({"reboot": {"type": "SOFT"}}), action({"reboot": {"type": "HARD"}})
REBUILD = action({"rebuild": {"imageRef": "{image}"}})
REBUILD_OTHER_IMAGE = action({"rebuild": {"imageRef": "{other_image}"}})
RESIZE, RESIZE_HUGE = (
    action({"resize": {"flavorRef": "2"}}),
    action({"resize": {"flavorRef": "{huge_flavor}"}}),
)
MIGRATE = action({"migrate": None}, admin=True)
CONFIRM, REVERT = action({"confirmResize": None}), action({"revertResize": None})
SHELVE, UNSHELVE = action({"shelve": None}), action({"unshelve": None})
SHELVE_OFFLOAD = action({"shelveOffload": None}, admin=True)
PASSWORD = action({"changePassword": {"adminPass": "canary-password"}}, accept=(409, 501))
CRASH_DUMP = action({"trigger_crash_dump": None}, admin=True)
LOCK, UNLOCK = action({"lock": None}), action({"unlock": None})
SNAPSHOT = action({"createImage": {"name": "picture"}})
BACKUP = action({"createBackup": {"name": "backup", "backup_type": "daily", "rotation": 1}})
RESET_STATE = action({"os-resetState": {"state": "error"}}, admin=True)
RESTORE, FORCE_DELETE = action({"restore": None}), action({"forceDelete": None})
LIVE_MIGRATE = action({"os-migrateLive": {"host": None, "block_migration": "auto"}}, admin=True)
EVACUATE = action({"evacuate": {}}, admin=True)
LIVE_MIGRATE_TO_HOST2 = action({"os-migrateLive": {"host": "host2", "block_migration": "auto"}}, admin=True)
HOST1_DOWN = Call("PUT", "/os-services/{service_host1}", {"forced_down": True}, admin=True)
RESTART_HOST1 = Call("DO", "restart host1")
HOST1_UP = Call("PUT", "/os-services/{service_host1}", {"forced_down": False}, admin=True)
CREATE_ON_HOST1 = Call(
    "POST", "/servers", {"server": CREATE_BODY["server"] | {"availability_zone": "nova:host1"}}, admin=True
)
CREATE_TWO = Call("POST", "/servers", {"server": CREATE_BODY["server"] | {"min_count": 2, "max_count": 2}})


def _from_volume(volume: str) -> Call:
    root = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
    return Call(
        "POST", "/servers", {"server": CREATE_BODY["server"] | {"imageRef": "", "block_device_mapping_v2": [root]}}
    )


CREATE_TO_VOLUME = Call(
    "POST",
    "/servers",
    {
        "server": CREATE_BODY["server"]
        | {
            "imageRef": "",
            "block_device_mapping_v2": [
                {
                    "boot_index": 0,
                    "uuid": "{image}",
                    "source_type": "image",
                    "destination_type": "volume",
                    "volume_size": 1,
                }
            ],
        }
    },
)
CREATE_FROM_VOLUME, CREATE_FROM_IMAGE_VOLUME = _from_volume("{volume}"), _from_volume("{image_volume}")
ATTACH_SECOND_VOLUME = Call(
    "POST", "/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": "{volume2}"}}
)
EXTEND_TWO_VOLUMES = Call(
    "POST",
    "/os-server-external-events",
    {
        "events": [
            {"name": "volume-extended", "server_uuid": "{server}", "tag": "{volume}"},
            {"name": "volume-extended", "server_uuid": "{server}", "tag": "{volume2}"},
        ]
    },
    admin=True,
)
ATTACH_VOLUME = Call("POST", "/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": "{volume}"}})
DETACH_VOLUME = Call("DELETE", "/servers/{server}/os-volume_attachments/{volume}")
ATTACH_PORT = Call(
    "POST", "/servers/{server}/os-interface", {"interfaceAttachment": {"port_id": "{port}"}}, accept=(500,)
)
DETACH_PORT = Call("DELETE", "/servers/{server}/os-interface/{port}")
EXTEND_VOLUME = Call(
    "POST",
    "/os-server-external-events",
    {"events": [{"name": "volume-extended", "server_uuid": "{server}", "tag": "{volume}"}]},
    admin=True,
)

SWAP_VOLUME = Call(
    "PUT",
    "/servers/{server}/os-volume_attachments/{swap_old}",
    {"volumeAttachment": {"volumeId": "{swap_new}"}},
    admin=True,
)
ATTACH_SWAP_OLD = Call(
    "POST", "/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": "{swap_old}"}}
)
ATTACH_SHARE = Call("POST", "/servers/{server}/shares", {"share": {"share_id": "{share}", "tag": "work"}})
DETACH_SHARE = Call("DELETE", "/servers/{server}/shares/{share}")
ABORT_MIGRATION = Call("DELETE", "/servers/{server}/migrations/{migration}", admin=True)
FORCE_MIGRATION = Call("POST", "/servers/{server}/migrations/{migration}/action", {"force_complete": None}, admin=True)
MIGRATE_TO_OTHER_CELL = action({"migrate": {"host": "host3"}}, admin=True)
RESET_TO_ACTIVE = action({"os-resetState": {"state": "active"}}, admin=True)
POWER_UPDATE = Call(
    "POST",
    "/os-server-external-events",
    {"events": [{"name": "power-update", "server_uuid": "{server}", "tag": "POWER_OFF"}]},
    admin=True,
    accept=(400, 404),
)
EVACUATE_TO_HOST2 = action({"evacuate": {"host": "host2"}}, admin=True)
REBUILD_ROOT_VOLUME = action({"rebuild": {"imageRef": "{other_image}"}})
CREATE_TWO_HUGE = Call(
    "POST",
    "/servers",
    {"server": CREATE_BODY["server"] | {"flavorRef": "{huge_flavor}", "min_count": 2, "max_count": 2}},
)
CREATE_WITH_ACCELERATOR = Call(
    "POST", "/servers", {"server": CREATE_BODY["server"] | {"flavorRef": "{accelerated_flavor}"}}
)
CREATE_GROUPED = Call("POST", "/servers", {"server": CREATE_BODY["server"], "os:scheduler_hints": {"group": "{group}"}})
WAIT_ONE_SECOND = Call("DO", "a second goes by")
PERIODIC_UNRESCUE = Call("DO", "unrescue on host1")
PERIODIC_BUILD_TIME = Call("DO", "check builds on host1")
PERIODIC_CLEAN_UP_DESTINATION = Call("DO", "clean up migrations on host2")
PERIODIC_POWER_STATES = Call("DO", "compare power states on host1")
PERIODIC_CONFIRM = Call("DO", "confirm on host2")
PERIODIC_RECLAIM = Call("DO", "reclaim on host1")
PERIODIC_OFFLOAD = Call("DO", "offload on host1")

ADMIN_STOP = action({"os-stop": None}, admin=True)
ATTACH_VOLUME_FAILING = Call(ATTACH_VOLUME.method, ATTACH_VOLUME.path, ATTACH_VOLUME.body, accept=(500,))
DELETE_AGAIN = Call("DELETE", "/servers/{server}", accept=(404,))

GIVEN: dict[str, tuple[Call, ...]] = {
    "nothing": (),
    "active": (CREATE,),
    "stopped": (CREATE, STOP),
    "paused": (CREATE, PAUSE),
    "suspended": (CREATE, SUSPEND),
    "rescued": (CREATE, RESCUE),
    "resized": (CREATE, RESIZE),
    "migrated": (CREATE, MIGRATE),
    "migrated to the other cell": (CREATE, MIGRATE_TO_OTHER_CELL),
    "in ERROR": (CREATE, RESET_STATE),
    "shelved": (CREATE, SHELVE),
    "from volume": (CREATE_FROM_IMAGE_VOLUME,),
    "no valid host": (CREATE_HUGE,),
    "locked": (CREATE, LOCK),
    "deleted": (CREATE, DELETE),
    "with volume": (CREATE, ATTACH_VOLUME),
    "with port": (CREATE_WITH_PORT,),
    "with a volume to swap": (CREATE, ATTACH_SWAP_OLD),
    "with share": (CREATE, STOP, ATTACH_SHARE),
}
"""How each prepared state is reached, by real API requests that succeed."""
