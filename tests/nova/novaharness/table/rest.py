"""Passwords, locks, deletes, and refused requests."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, Expected, Kind, Scenario, driver, failed, ok

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("changePassword works", "active", v.PASSWORD, ok("changePassword")),
    Scenario(
        "changePassword fails",
        "active",
        v.PASSWORD,
        failed("changePassword", (HOST1, "InstancePasswordSetFailed")),
        (
            driver(
                "set_admin_password",
                "InstancePasswordSetFailed",
                instance="the-server",
                reason="the agent does not answer",
            ),
        ),
        kind=Kind.REMOTE,
    ),
    Scenario("trigger_crash_dump works", "active", v.CRASH_DUMP, ok("trigger_crash_dump")),
    Scenario(
        "trigger_crash_dump fails",
        "active",
        v.CRASH_DUMP,
        failed("trigger_crash_dump", (HOST1, "HypervisorUnavailable")),
        (driver("trigger_crash_dump", "HypervisorUnavailable"),),
    ),
    Scenario("lock works", "active", v.LOCK, ok("lock")),
    Scenario("unlock works", "locked", v.UNLOCK, ok("unlock")),
    Scenario("delete works", "active", v.DELETE, ok("delete"), tour=True),
    Scenario(
        "delete fails",
        "active",
        v.DELETE,
        failed("delete", (HOST1, "InstanceTerminationFailure"), effect="ERROR"),
        (driver("destroy", "InstanceTerminationFailure", reason="the guest can't be stopped"),),
        tour=True,
    ),
    Scenario(
        "delete of a resized server",
        "resized",
        v.DELETE,
        (Expected("confirmResize", "SUCCEEDED"), Expected("delete", "SUCCEEDED")),
    ),
    Scenario("refused: stop of a stopped server", "stopped", v.action({"os-stop": None}, accept=(409,)), ()),
    Scenario("resetState works", "active", v.RESET_STATE, ok("resetState")),
    Scenario("soft delete works", "active", v.DELETE, ok("delete"), options={"reclaim_instance_interval": 3600}),
    Scenario(
        "restore works",
        "active",
        v.RESTORE,
        ok("restore"),
        before=(v.DELETE,),
        options={"reclaim_instance_interval": 3600},
    ),
    Scenario(
        "restore fails",
        "active",
        v.RESTORE,
        failed("restore", (HOST1, "HypervisorUnavailable")),
        (driver("restore", "HypervisorUnavailable"),),
        before=(v.DELETE,),
        options={"reclaim_instance_interval": 3600},
    ),
    Scenario(
        "forceDelete of a soft-deleted server works",
        "active",
        v.FORCE_DELETE,
        ok("delete"),
        before=(v.DELETE,),
        options={"reclaim_instance_interval": 3600},
    ),
    Scenario("delete of a shelved server works", "shelved", v.DELETE, ok("delete")),
    Scenario(
        "delete while the host is down",
        "active",
        v.DELETE,
        ok("delete"),
        before=(v.HOST1_DOWN,),
        cleanup=(v.HOST1_UP,),
    ),
    Scenario("delete of a server that never found a host", "no valid host", v.DELETE, ok("delete")),
    Scenario(
        "changePassword is not implemented",
        "active",
        v.PASSWORD,
        failed("changePassword", (HOST1, "NotImplementedError")),
        (driver("set_admin_password", "builtins.NotImplementedError"),),
    ),
    Scenario("refused: stop of a locked server", "locked", v.action({"os-stop": None}, accept=(409,)), ()),
    Scenario("refused: delete of a deleted server", "deleted", v.DELETE_AGAIN, ()),
)
