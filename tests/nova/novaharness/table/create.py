"""How a create can end."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import CONTROLLER, HOST1, HOST2, Expected, Fault, Scenario, failed, ok, spawn

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("create works", "nothing", v.CREATE, ok("create"), tour=True),
    Scenario(
        "create: no valid host",
        "nothing",
        v.CREATE_HUGE,
        failed("create", (CONTROLLER, "NoValidHost"), effect="ERROR"),
        tour=True,
    ),
    Scenario(
        "create: host1 fails, host2 succeeds",
        "nothing",
        v.CREATE,
        (Expected("create", "RECOVERED", ((HOST1, "HypervisorUnavailable"),), None, "NONE"),),
        (spawn("HypervisorUnavailable", HOST1),),
        tour=True,
    ),
    Scenario(
        "create: both hosts fail",
        "nothing",
        v.CREATE,
        failed(
            "create",
            (HOST1, "HypervisorUnavailable"),
            (HOST2, "DiskNotFound"),
            effect="ERROR",
            verdict="MaxRetriesExceeded",
        ),
        (spawn("HypervisorUnavailable", HOST1), spawn("DiskNotFound", HOST2, location="/var/lib/nova/base")),
        tour=True,
    ),
    Scenario(
        "create: the network fails, no retry",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "VirtualInterfaceCreateException"), effect="ERROR"),
        (spawn("VirtualInterfaceCreateException", HOST1),),
    ),
    Scenario(
        "create: an exception that is not Nova's, on both hosts",
        "nothing",
        v.CREATE,
        failed(
            "create",
            (HOST1, "RuntimeError"),
            (HOST2, "OSError"),
            effect="ERROR",
            verdict="MaxRetriesExceeded",
        ),
        (
            Fault(
                "nova.virt.fake.FakeDriver.spawn",
                "builtins.RuntimeError",
                ("secret of the host",),
                host=HOST1,
            ),
            Fault("nova.virt.fake.FakeDriver.spawn", "builtins.OSError", ("no space left",), host=HOST2),
        ),
    ),
)
