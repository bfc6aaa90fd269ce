"""Scenarios as data: what the signals of each way in say, and what the derivation must make of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """A script (see :mod:`dsl`), what is expected by every way, and by the ways that know less."""

    name: str
    script: str
    expected: dict[str, str]
    but: dict[str, dict[str, str]] = field(default_factory=dict)


SCENARIOS = [
    Scenario(
        "stop",
        """
        T api action_start stop
        VL h1 instance.power_off.start active/powering-off
        T h1 event_start compute_stop_instance
        VL h1 instance.power_off.end stopped/-
        T h1 event_finish.end compute_stop_instance
        """,
        {"stop": "SUCCEEDED"},
    ),
    Scenario(
        "stop that fails",
        """
        T api action_start stop
        T h1 event_start compute_stop_instance
        VL h1 instance.power_off.start active/powering-off
        T h1 fault !InstancePowerOffFailure active/powering-off
        T h1 event_finish compute_stop_instance !InstancePowerOffFailure
        V h1 exception !InstancePowerOffFailure
        L h1 exception compute_stop_instance !InstancePowerOffFailure active/-
        """,
        {"stop": "FAILED h1:InstancePowerOffFailure(NONE)"},
        but={
            "versioned": {"stop": "FAILED h1:InstancePowerOffFailure(UNKNOWN)"},
        },
    ),
    Scenario(
        "create exhausts its retries",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !libvirtError
        T h1 event_finish.end compute__do_build_and_run_instance
        T h2 event_start compute__do_build_and_run_instance
        VL h2 instance.create.start building/-
        VL h2 instance.create.error building/spawning !libvirtError
        T h2 event_finish.end compute__do_build_and_run_instance
        T con fault !MaxRetriesExceeded error/-
        VL con compute_task.build_instances !MaxRetriesExceeded error/-
        """,
        {"create": "FAILED h1:libvirtError(NONE) h2:libvirtError(ERROR) verdict=MaxRetriesExceeded"},
    ),
    Scenario(
        "create recovers on the second host",
        """
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        VL h1 instance.create.start building/-
        VL h1 instance.create.error building/spawning !ComputeResourcesUnavailable
        T h1 event_finish.end compute__do_build_and_run_instance
        T h2 event_start compute__do_build_and_run_instance
        VL h2 instance.create.start building/-
        VL h2 instance.create.end active/-
        T h2 event_finish.end compute__do_build_and_run_instance
        """,
        {"create": "RECOVERED h1:ComputeResourcesUnavailable(NONE)"},
    ),
    Scenario(
        "resize without a valid host",
        """
        T api action_start resize
        T con event_start conductor_migrate_server
        T con event_start cold_migrate
        T con fault !NoValidHost active/-
        VL con compute_task.migrate_server !NoValidHost active/-
        T con event_finish cold_migrate !NoValidHost
        T con event_finish conductor_migrate_server !NoValidHost
        """,
        {"resize": "FAILED con:NoValidHost(UNKNOWN)"},
        but={way: {"?": "FAILED con:NoValidHost(UNKNOWN)"} for way in ("versioned", "legacy", "both")},
    ),
]
