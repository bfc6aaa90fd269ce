"""Failures whose exceptions contain secrets, as exceptions of clients, drivers and command lines do."""

from __future__ import annotations

from novaharness import canaries
from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, HOST2, Expected, Fault, Scenario, driver, failed

SECRET = f"{canaries.MARK}message-3f9c"
TEXT = (
    f"cannot log in: virsh --password={SECRET} failed, {{'auth_password': '{SECRET}', 'adminPass': \"{SECRET}\"}}, "
    f"X-Auth-Token: {SECRET}, auth_token={SECRET}, https://admin:{SECRET}@storage:8776/, "
    "token gAAAAABl0123456789_-abcdefghijklmnop"
)
"""A message with a secret in each of the usual forms."""
PLAIN = "cannot log in"
"""The part of the message that must remain."""

_SPAWN = "nova.virt.fake.FakeDriver.spawn"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "stop fails, the message tells secrets",
        "active",
        v.STOP,
        failed("stop", (HOST1, "InstancePowerOffFailure")),
        (driver("power_off", "InstancePowerOffFailure", reason=TEXT),),
    ),
    Scenario(
        "create: host1 fails with a foreign exception that tells secrets",
        "nothing",
        v.CREATE,
        (Expected("create", "RECOVERED", ((HOST1, "RuntimeError"),), None, "NONE"),),
        (Fault(_SPAWN, "builtins.RuntimeError", (TEXT,), host=HOST1),),
    ),
    Scenario(
        "rebuild with a volume fails, the message tells secrets",
        "with volume",
        v.REBUILD,
        failed("rebuild", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (Fault(_SPAWN, "nova.exception.HypervisorUnavailable", (TEXT,)),),
    ),
    Scenario(
        "live migration: the destination refuses and tells secrets",
        "active",
        v.LIVE_MIGRATE,
        failed("live-migration", (HOST2, "MigrationPreCheckError"), verdict="NoValidHost"),
        (driver("check_can_live_migrate_destination", "MigrationPreCheckError", HOST2, reason=TEXT),),
    ),
)
"""Not part of the table; `--secrets` plays them."""
