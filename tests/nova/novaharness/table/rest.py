"""Passwords, locks, deletes, and what is refused."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, Expected, Scenario, driver, failed, ok

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
)
