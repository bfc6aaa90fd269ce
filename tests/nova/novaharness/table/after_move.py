"""Failures after the guest of a live migration or a resize has moved: nothing can be rolled back any more."""

from __future__ import annotations

from typing import Any

from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, HOST2, Call, Expected, Fault, Kind, Scenario, driver, failed, raising

_TO_DESTINATION = "nova.compute.rpcapi.ComputeAPI.post_live_migration_at_destination"
_TIMEOUT = ("oslo_messaging.exceptions.MessagingTimeout", "Timed out waiting for a reply to message ID 1")


def _scenario(
    name: str, expected: tuple[Expected, ...], *faults: Fault, call: Call = v.LIVE_MIGRATE_TO_HOST2, **more: Any
) -> Scenario:
    return Scenario(name, "active", call, expected, faults, kind=Kind.AFTER_MOVE, **more)


def _failure(host: str, exception: str, effect: str = "ERROR", **more: Any) -> tuple[Expected, ...]:
    return failed("live-migration", (host, exception), effect=effect, **more)


SCENARIOS: tuple[Scenario, ...] = (
    _scenario(
        "live migration: no answer from the destination after the move",
        _failure(HOST1, "MessagingTimeout", blame=("DEPENDENCY",)),
        raising(_TO_DESTINATION, *_TIMEOUT),
    ),
    _scenario(
        "live migration: no answer from the destination after the move, then deleted",
        _failure(HOST1, "MessagingTimeout", blame=("DEPENDENCY",)),
        raising(_TO_DESTINATION, *_TIMEOUT),
        after=(v.DELETE,),
    ),
    _scenario(
        "live migration: the destination answers too late after the move",
        _failure(HOST1, "MessagingTimeout", blame=("DEPENDENCY",)),
        Fault(_TO_DESTINATION, does="answered too late"),
    ),
    _scenario(
        "live migration: the destination can't take over, then deleted",
        _failure(HOST2, "HypervisorUnavailable"),
        driver("post_live_migration_at_destination", "HypervisorUnavailable", HOST2),
        after=(v.DELETE,),
    ),
    _scenario(
        "live migration: Neutron fails on the destination after the move",
        _failure(HOST2, "PortUpdateFailed"),
        raising(
            "nova.network.neutron.API.migrate_instance_finish",
            "PortUpdateFailed",
            host=HOST2,
            port_id="the-port",
            reason="no answer",
        ),
    ),
    _scenario(
        "live migration: the source can't detach after the move",
        _failure(HOST1, "HypervisorUnavailable"),
        driver("post_live_migration", "HypervisorUnavailable", HOST1),
    ),
    _scenario(
        "live migration: the source can't unplug after the move",
        _failure(HOST1, "VirtualInterfaceUnplugException"),
        driver("post_live_migration_at_source", "VirtualInterfaceUnplugException", HOST1, reason="no such bridge"),
    ),
    _scenario(
        "live migration: the source can't clean up after the move",
        _failure(HOST1, "HypervisorUnavailable"),
        Fault(
            "nova.compute.manager.ComputeManager._live_migration_cleanup_flags",
            does="returns",
            arguments=((True, True),),
        ),
        driver("cleanup", "HypervisorUnavailable", HOST1),
    ),
    _scenario(
        "live migration: Placement fails after the move",
        # Nova sets the migration to completed, then to error, and the server to ERROR.
        _failure(HOST1, "AllocationDeleteFailed", blame=("DEPENDENCY",), earlier=("SUCCEEDED", "RECOVERED")),
        raising(
            "nova.compute.manager.ComputeManager._delete_allocation_after_move",
            "AllocationDeleteFailed",
            host=HOST1,
            consumer_uuid="the-server",
            error="503",
        ),
    ),
    _scenario(
        "resize: the disk is on the destination, the network is not",
        failed("resize", (HOST2, "PortBindingFailed"), effect="ERROR", blame=("DEPENDENCY",)),
        raising("nova.network.neutron.API.setup_networks_on_host", "PortBindingFailed", host=HOST2, port_id="the-port"),
        call=v.RESIZE,
    ),
)
