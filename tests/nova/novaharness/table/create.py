"""The possible ends of a create."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    CONTROLLER,
    HOST1,
    HOST2,
    Expected,
    Fault,
    Kind,
    Scenario,
    failed,
    ok,
    spawn,
)

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
        failed(
            "create",
            (HOST1, "VirtualInterfaceCreateException"),
            effect="ERROR",
            reason_has=("Virtual Interface creation failed",),
        ),
        (spawn("VirtualInterfaceCreateException", HOST1),),
        kind=Kind.CAUSE,
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
    Scenario(
        "create: host1 has no room after all, host2 succeeds",
        "nothing",
        v.CREATE,
        (Expected("create", "RECOVERED", ((HOST1, "ComputeResourcesUnavailable"),), None, "NONE"),),
        (
            Fault(
                "nova.compute.resource_tracker.ResourceTracker.instance_claim",
                "nova.exception.ComputeResourcesUnavailable",
                keywords={"reason": "no room"},
                host=HOST1,
            ),
        ),
    ),
    Scenario(
        "create: the image is gone",
        "nothing",
        v.CREATE,
        failed(
            "create", (HOST1, "ImageNotFound"), (HOST2, "ImageNotFound"), effect="ERROR", verdict="MaxRetriesExceeded"
        ),
        (spawn("ImageNotFound", image_id="the-image"),),
    ),
    Scenario(
        "create: the port can't be bound on host1",
        "nothing",
        v.CREATE_WITH_PORT,
        (Expected("create", "RECOVERED", ((HOST1, "PortBindingFailed"),), None, "NONE"),),
        (
            Fault(
                "nova.network.neutron.API.allocate_for_instance",
                "nova.exception.PortBindingFailed",
                keywords={"port_id": "the-port"},
                host=HOST1,
            ),
        ),
    ),
    Scenario(
        "create: the scheduler does not answer",
        "nothing",
        v.CREATE,
        failed("create", (CONTROLLER, "MessagingTimeout"), effect="ERROR"),
        (
            Fault(
                "nova.scheduler.client.query.SchedulerQueryClient.select_destinations",
                "oslo_messaging.exceptions.MessagingTimeout",
                ("no reply",),
            ),
        ),
    ),
    Scenario(
        "create: the quota is used up meanwhile",
        "nothing",
        v.CREATE,
        failed("create", (CONTROLLER, "TooManyInstances"), effect="ERROR"),
        (
            Fault(
                "nova.compute.utils.check_num_instances_quota",
                "nova.exception.TooManyInstances",
                keywords={"overs": "instances", "req": 1, "used": 10, "allowed": 10},
                after=1,
            ),
        ),
    ),
    Scenario("create of two servers works", "nothing", v.CREATE_TWO, (*ok("create"), *ok("create"))),
    Scenario("create from a volume works", "nothing", v.CREATE_FROM_VOLUME, ok("create")),
    Scenario(
        "create from a volume: Cinder fails",
        "nothing",
        v.CREATE_FROM_VOLUME,
        failed(
            "create",
            (HOST1, "CinderConnectionFailed"),
            effect="ERROR",
            blame=("DEPENDENCY",),
            reason_has=("Connection to cinder host failed",),
        ),
        (
            Fault(
                "nova.volume.cinder.API.attachment_update",
                "nova.exception.CinderConnectionFailed",
                keywords={"reason": "503 Service Unavailable"},
                host=HOST1,
            ),
        ),
        kind=Kind.CAUSE,
    ),
)
