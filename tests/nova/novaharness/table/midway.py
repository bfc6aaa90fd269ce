"""Another request arrives while a request is in progress."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, Call, Expected, Fault, Scenario, failed, ok, request_during

_DRIVER = "nova.virt.fake.FakeDriver"


def _deleted(action: str, call: Call, during: str) -> Scenario:
    return Scenario(
        f"{action}: the server is deleted midway",
        "active",
        call,
        (Expected(action, "CANCELLED"),),
        request_during(f"{_DRIVER}.{during}", v.DELETE),
    )


_CANCELLED_CREATE = (Expected("create", "CANCELLED"),)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "create: the server is deleted before it is scheduled",
        "nothing",
        v.CREATE,
        (),
        request_during("nova.conductor.manager.ComputeTaskManager._schedule_instances", v.DELETE),
    ),
    Scenario(
        "create: the server is deleted while its guest is made",
        "nothing",
        v.CREATE,
        _CANCELLED_CREATE,
        request_during(f"{_DRIVER}.spawn", v.DELETE),
    ),
    Scenario(
        "delete of a server while its guest is made",
        "nothing",
        v.CREATE,
        ok("delete"),
        request_during(f"{_DRIVER}.spawn", v.DELETE),
        judged="midway",
    ),
    _deleted("resize", v.RESIZE, "migrate_disk_and_power_off"),
    _deleted("rebuild", v.REBUILD, "destroy"),
    Scenario(
        "live migration: the server is deleted midway",
        "active",
        v.LIVE_MIGRATE,
        (Expected("live-migration", "CANCELLED"),),
        (
            Fault(
                f"{_DRIVER}.live_migration",
                "nova.exception.InstanceNotFound",
                keywords={"instance_id": "the-server"},
                does="asks midway",
                asks=(v.DELETE,),
                times=1,
            ),
        ),
    ),
    _deleted("createImage", v.SNAPSHOT, "snapshot"),
    _deleted("stop", v.STOP, "power_off"),
    Scenario(
        "resize: its state is reset midway",
        "active",
        v.RESIZE,
        failed("resize", (HOST1, "UnexpectedTaskStateError"), effect="ERROR"),
        request_during(f"{_DRIVER}.migrate_disk_and_power_off", v.RESET_TO_ACTIVE),
    ),
    Scenario(
        "stop: its state is reset midway",
        "active",
        v.STOP,
        failed("stop", (HOST1, "UnexpectedTaskStateError"), effect="UNKNOWN"),
        request_during(f"{_DRIVER}.power_off", v.RESET_TO_ACTIVE),
    ),
    Scenario(
        "resetState while a server is stopped works",
        "active",
        v.STOP,
        ok("resetState"),
        request_during(f"{_DRIVER}.power_off", v.RESET_TO_ACTIVE),
        judged="midway",
    ),
    Scenario(
        "live migration is aborted",
        "active",
        v.LIVE_MIGRATE,
        (Expected("live-migration", "CANCELLED"),),
        (Fault(f"{_DRIVER}.live_migration", does="job aborted", asks=(v.ABORT_MIGRATION,)),),
    ),
    Scenario(
        "live_migration_cancel works",
        "active",
        v.LIVE_MIGRATE,
        ok("live_migration_cancel"),
        (Fault(f"{_DRIVER}.live_migration", does="job aborted", asks=(v.ABORT_MIGRATION,)),),
        judged="midway",
    ),
    Scenario(
        "live migration is forced to its end",
        "active",
        v.LIVE_MIGRATE,
        ok("live-migration"),
        (Fault(f"{_DRIVER}.live_migration", does="job forced", asks=(v.FORCE_MIGRATION,)),),
    ),
    Scenario(
        "live_migration_force_complete works",
        "active",
        v.LIVE_MIGRATE,
        ok("live_migration_force_complete"),
        (Fault(f"{_DRIVER}.live_migration", does="job forced", asks=(v.FORCE_MIGRATION,)),),
        judged="midway",
    ),
    Scenario(
        "several requests at once: createImage while the server is locked",
        "active",
        v.SNAPSHOT,
        ok("createImage"),
        request_during(f"{_DRIVER}.snapshot", v.LOCK),
    ),
    Scenario(
        "several requests at once: lock while an image is made",
        "active",
        v.SNAPSHOT,
        ok("lock"),
        request_during(f"{_DRIVER}.snapshot", v.LOCK),
        judged="midway",
    ),
    Scenario(
        "refused: stop while an image is made",
        "active",
        v.SNAPSHOT,
        (),
        request_during(f"{_DRIVER}.snapshot", v.action({"os-start": None}, accept=(409,))),
        judged="midway",
    ),
)
