"""The possible ends of power actions, reboots and rescues."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, Fault, Scenario, driver, failed, ok

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("stop works", "active", v.STOP, ok("stop"), tour=True),
    Scenario(
        "stop fails",
        "active",
        v.STOP,
        failed("stop", (HOST1, "InstancePowerOffFailure")),
        (driver("power_off", "InstancePowerOffFailure", reason="the guest does not react"),),
        tour=True,
    ),
    Scenario("start works", "stopped", v.START, ok("start")),
    Scenario(
        "start fails",
        "stopped",
        v.START,
        failed("start", (HOST1, "InstancePowerOnFailure")),
        (driver("power_on", "InstancePowerOnFailure", reason="no memory"),),
    ),
    Scenario("pause works", "active", v.PAUSE, ok("pause")),
    Scenario(
        "pause fails",
        "active",
        v.PAUSE,
        failed("pause", (HOST1, "HypervisorUnavailable")),
        (driver("pause", "HypervisorUnavailable"),),
    ),
    Scenario("unpause works", "paused", v.UNPAUSE, ok("unpause")),
    Scenario(
        "unpause fails",
        "paused",
        v.UNPAUSE,
        failed("unpause", (HOST1, "HypervisorUnavailable")),
        (driver("unpause", "HypervisorUnavailable"),),
    ),
    Scenario("suspend works", "active", v.SUSPEND, ok("suspend")),
    Scenario(
        "suspend fails",
        "active",
        v.SUSPEND,
        failed("suspend", (HOST1, "InstanceSuspendFailure"), effect="ERROR"),
        (driver("suspend", "InstanceSuspendFailure", reason="no space for its memory"),),
    ),
    Scenario(
        "suspend is not implemented",
        "active",
        v.SUSPEND,
        failed("suspend", (HOST1, "NotImplementedError")),
        (driver("suspend", "builtins.NotImplementedError"),),
    ),
    Scenario("resume works", "suspended", v.RESUME, ok("resume")),
    Scenario(
        "resume fails",
        "suspended",
        v.RESUME,
        failed("resume", (HOST1, "InstanceResumeFailure"), effect="ERROR"),
        (driver("resume", "InstanceResumeFailure", reason="saved memory is gone"),),
    ),
    Scenario("reboot works", "active", v.REBOOT_HARD, ok("reboot"), tour=True),
    Scenario(
        "reboot fails, the server runs on",
        "active",
        v.REBOOT_SOFT,
        failed("reboot", (HOST1, "InstanceRebootFailure")),
        (driver("reboot", "InstanceRebootFailure", reason="ACPI is off"),),
        tour=True,
    ),
    Scenario(
        "reboot fails, the server is down",
        "active",
        v.REBOOT_HARD,
        failed("reboot", (HOST1, "InstanceRebootFailure"), effect="ERROR"),
        (
            Fault(
                "nova.virt.fake.FakeDriver.reboot",
                does="guest dies",
                raises="nova.exception.InstanceRebootFailure",
                keywords={"reason": "domain is gone"},
            ),
        ),
    ),
    Scenario("rescue works", "active", v.RESCUE, ok("rescue")),
    Scenario(
        "rescue fails",
        "active",
        v.RESCUE,
        failed("rescue", (HOST1, "InstanceNotRescuable"), effect="ERROR"),
        (driver("rescue", "HypervisorUnavailable"),),
    ),
    Scenario("unrescue works", "rescued", v.UNRESCUE, ok("unrescue")),
    Scenario(
        "unrescue fails",
        "rescued",
        v.UNRESCUE,
        failed("unrescue", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (driver("unrescue", "HypervisorUnavailable"),),
    ),
    Scenario(
        "stop fails with an exception that is not Nova's",
        "active",
        v.STOP,
        failed("stop", (HOST1, "RuntimeError")),
        (Fault("nova.virt.fake.FakeDriver.power_off", "builtins.RuntimeError", ("secret of the host",)),),
    ),
    Scenario(
        "an admin stops a user's server, it fails",
        "active",
        v.ADMIN_STOP,
        failed("stop", (HOST1, "InstancePowerOffFailure")),
        (driver("power_off", "InstancePowerOffFailure", reason="the guest does not react"),),
    ),
)
