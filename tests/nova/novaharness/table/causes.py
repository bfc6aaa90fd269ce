"""Exceptions of Nova that wrap the cause: its class decides who is to blame, its text what the user reads.

Nova shows its user the text of the wrapper, as the server's fault; `reason_has` is the part of it that tells something.
"""

from __future__ import annotations

from typing import Any

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    CONTROLLER,
    HOST1,
    HOST2,
    Call,
    Expected,
    Fault,
    Kind,
    Scenario,
    driver,
    failed,
    raising,
    spawn,
)

_UPDATE_ATTACHMENT = "nova.volume.cinder.API.attachment_update"
_ALLOCATE = "nova.network.neutron.API.allocate_for_instance"
_DEPENDENCY = ("DEPENDENCY",)
_NOT_THE_USERS = ("DEPENDENCY", "OPERATOR", "UNKNOWN")


def _scenario(
    name: str, given: str, call: Call, expected: tuple[Expected, ...], *faults: Fault, **more: Any
) -> Scenario:
    return Scenario(name, given, call, expected, faults, kind=Kind.CAUSE, **more)


def _from_volume(
    name: str,
    exception: str,
    *arguments: Any,
    says: tuple[str, ...] = (),
    blame: tuple[str, ...] = _DEPENDENCY,
    **keywords: Any,
) -> Scenario:
    """Return the scenario of a create whose volume can't be attached: Nova raises InvalidBDM, and aborts the build."""
    return _scenario(
        f"create from a volume: {name}",
        "nothing",
        v.CREATE_FROM_VOLUME,
        failed(
            "create",
            (HOST1, exception.rpartition(".")[2]),
            effect="ERROR",
            blame=blame,
            reason_has=says,
        ),
        raising(_UPDATE_ATTACHMENT, exception, *arguments, host=HOST1, **keywords),
    )


def _to_volume(name: str, status: str) -> Scenario:
    """Return the scenario of a create from an image to a new volume, which never becomes available."""
    return _scenario(
        f"create from an image to a volume: {name}",
        "nothing",
        v.CREATE_TO_VOLUME,
        failed(
            "create",
            (HOST1, "VolumeNotCreated"),
            effect="ERROR",
            blame=_DEPENDENCY,
            reason_has=("did not finish being created", status),
        ),
        Fault("nova.volume.cinder.API.get", does="returns", arguments=({"status": status},), host=HOST1),
        options={"block_device_allocate_retries": 0, "block_device_allocate_retries_interval": 0},
    )


def _network(name: str, exception: str, *, says: str, blame: tuple[str, ...] = (), **keywords: Any) -> Scenario:
    return _scenario(
        f"create: {name}",
        "nothing",
        v.CREATE_WITH_PORT,
        failed("create", (HOST1, exception), effect="ERROR", reason_has=(says,), blame=blame),
        raising(_ALLOCATE, exception, host=HOST1, **keywords),
    )


def _no_retry(name: str, exception: str, blame: tuple[str, ...], says: str, **keywords: Any) -> Scenario:
    return Scenario(
        f"create: {name}",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, exception), effect="ERROR", blame=blame, reason_has=(says,)),
        (spawn(exception, **keywords),),
        kind=Kind.NO_RETRY,
    )


_VOLUMES = (
    _to_volume("Cinder takes too long", "downloading"),
    _to_volume("Cinder fails", "error"),
    _from_volume(
        "Cinder takes too long",
        "nova.exception.VolumeNotCreated",
        volume_id="the-volume",
        seconds=187,
        attempts=61,
        volume_status="downloading",
        says=("did not finish being created",),
    ),
    _from_volume(
        "the volume is gone",
        "nova.exception.VolumeNotFound",
        volume_id="the-volume",
        says=("could not be found",),
        blame=("USER", "DEPENDENCY"),
    ),
    _from_volume(
        "the attachment is gone",
        "nova.exception.VolumeAttachmentNotFound",
        attachment_id="the-attachment",
        says=("could not be found",),
        blame=("USER", "DEPENDENCY", "RACE", "UNKNOWN"),
    ),
    _from_volume(
        "500 of Cinder's client",
        "cinderclient.exceptions.ClientException",
        500,
        "boom",
        says=("boom (HTTP 500)",),  # Nova shows it
        blame=_NOT_THE_USERS,
    ),
    _from_volume(
        "quota of Cinder",
        "nova.exception.OverQuota",
        message="Volume quota exceeded",
        says=("quota",),
        blame=("USER", "CAPACITY"),
    ),
    _scenario(
        "create from a volume: the host can't connect to it",
        "nothing",
        v.CREATE_FROM_VOLUME,
        failed("create", (HOST1, "VolumeDeviceNotFound"), effect="ERROR", blame=_NOT_THE_USERS),
        raising(_UPDATE_ATTACHMENT, "os_brick.exception.VolumeDeviceNotFound", host=HOST1, device="/dev/sdx"),
    ),
    _scenario(
        "create: the host can't prepare block devices",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "libvirtError"), effect="ERROR", reason_has=("Failure prepping block device",)),
        Fault(
            "nova.virt.fake.FakeDriver.prepare_for_spawn",
            "novaharness.foreign.libvirtError",
            ("storage pool is not active",),
            host=HOST1,
        ),
    ),
    _scenario(
        "rebuild with a volume: Cinder is down",
        "with volume",
        v.REBUILD,
        failed("rebuild", (HOST1, "CinderConnectionFailed"), effect="ERROR", blame=_DEPENDENCY),
        raising(_UPDATE_ATTACHMENT, "CinderConnectionFailed", host=HOST1, reason="503 Service Unavailable"),
    ),
    _scenario(
        "unshelve of a server with its root on a volume: Cinder is down",
        "from volume",
        v.UNSHELVE,
        failed("unshelve", (HOST1, "CinderConnectionFailed"), blame=_DEPENDENCY, reason_has=("cinder",)),
        raising(_UPDATE_ATTACHMENT, "CinderConnectionFailed", host=HOST1, reason="503 Service Unavailable"),
        before=(v.SHELVE,),
    ),
)
_NETWORKS = (
    _network(
        "no address is left",
        "NoMoreFixedIps",
        says="No fixed IP addresses available",
        net="the-network",
    ),
    _network(
        "the network is not for the user",
        "ExternalNetworkAttachForbidden",
        says="not allowed to create an interface on external network",
        network_uuid="the-network",
        blame=("USER",),
    ),
    _network(
        "the network can't be made automatically",
        "UnableToAutoAllocateNetwork",
        says="Unable to automatically allocate a network",
        project_id="the-project",
    ),
    _scenario(
        "create: the network can't even be started",
        "nothing",
        v.CREATE_WITH_PORT,
        failed(
            "create",
            (HOST1, "ConnectionFailed"),
            effect="ERROR",
            reason_has=("Failed to allocate the network",),
            reason_lacks=("192.0.2.10",),
        ),
        raising(
            "nova.compute.manager.ComputeManager._build_networks_for_instance",
            "neutronclient.common.exceptions.ConnectionFailed",
            host=HOST1,
            reason="http://192.0.2.10:9696/ refused",
        ),
    ),
)
_RESCHEDULES = (
    _scenario(
        "create: the second attempt is the last, its text names the reason",
        "nothing",
        v.CREATE,
        failed(
            "create",
            (HOST1, "HypervisorUnavailable"),
            (HOST2, "DiskNotFound"),
            effect="ERROR",
            verdict="MaxRetriesExceeded",
            reason_has=("No disk at /var/lib/nova/base",),
        ),
        spawn("HypervisorUnavailable", HOST1),
        spawn("DiskNotFound", HOST2, location="/var/lib/nova/base"),
        options={"scheduler.max_attempts": 2},
    ),
    _scenario(
        "create fails with an exception that is not Nova's, no other host may be tried",
        "nothing",
        v.CREATE,
        failed(
            "create",
            (HOST1, "OSError"),
            effect="ERROR",
            blame=("OPERATOR", "UNKNOWN"),
            reason_has=("No space left on device",),  # Nova shows it
        ),
        Fault("nova.virt.fake.FakeDriver.spawn", "builtins.OSError", (28, "No space left on device"), host=HOST1),
        options={"scheduler.max_attempts": 1},
    ),
    _scenario(
        "create fails, and the host can't clean up",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "HypervisorUnavailable"), effect="ERROR", reason_has=("hypervisor",)),
        spawn("HypervisorUnavailable", HOST1),
        driver("destroy", "InstanceTerminationFailure", HOST1, reason="the guest can't be stopped"),
    ),
    _scenario(
        "create: host1's group has changed, no other host may be tried",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "GroupAffinityViolation"), effect="ERROR", reason_has=("policy was violated",)),
        raising(
            "nova.compute.manager.ComputeManager._validate_instance_group_policy",
            "GroupAffinityViolation",
            instance_uuid="the-server",
            policy="Anti-affinity",
        ),
        options={"scheduler.max_attempts": 1},
    ),
    _scenario(
        "create: the failure follows from one that is not Nova's",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "HypervisorUnavailable"), effect="ERROR", reason_has=("hypervisor",)),
        Fault("nova.virt.fake.FakeDriver.spawn", does="raises from", raises="nova.exception.HypervisorUnavailable"),
        options={"scheduler.max_attempts": 1},
    ),
    _scenario(
        "resize: the other host's text names the reason",
        "active",
        v.RESIZE,
        failed(
            "resize",
            (HOST2, "PortBindingFailed"),
            effect="ERROR",
            verdict="MaxRetriesExceeded",
            reason_has=("Binding failed for port",),
            blame=_DEPENDENCY,
        ),
        raising(
            "nova.compute.resource_tracker.ResourceTracker.resize_claim",
            "PortBindingFailed",
            host=HOST2,
            port_id="the-port",
        ),
    ),
    _scenario(
        "evacuate: Cinder is down on the new host",
        "with volume",
        v.EVACUATE_TO_HOST2,
        failed("evacuate", (HOST2, "CinderConnectionFailed"), effect="ERROR", blame=_DEPENDENCY),
        raising(_UPDATE_ATTACHMENT, "CinderConnectionFailed", host=HOST2, reason="503 Service Unavailable"),
        before=(v.HOST1_DOWN,),
        cleanup=(v.RESTART_HOST1, v.HOST1_UP),
    ),
    _scenario(
        "rescue: the image of the rescue system is gone",
        "active",
        v.RESCUE,
        failed("rescue", (HOST1, "InstanceNotRescuable"), effect="ERROR", reason_has=("could not be found",)),
        driver("rescue", "ImageNotFound", image_id="the-image"),
    ),
    _scenario(
        "migrate: the conductor can't reach Placement",
        "active",
        v.MIGRATE,
        failed("migrate", (CONTROLLER, "PlacementAPIConnectFailure"), blame=_NOT_THE_USERS),
        raising(
            "nova.scheduler.client.report.SchedulerReportClient.get_allocs_for_consumer",
            "PlacementAPIConnectFailure",
            host=CONTROLLER,
        ),
    ),
)
_WITHOUT_RETRY = (
    _no_retry(
        "the image is larger than the flavor's disk",
        "FlavorDiskSmallerThanImage",
        ("USER",),
        "too small",
        flavor_size=1,
        image_size=2,
    ),
    _no_retry(
        "the flavor's disk is smaller than the image's minimum",
        "FlavorDiskSmallerThanMinDisk",
        ("USER",),
        "smaller than the minimum",
        flavor_size=1,
        image_min_disk=2,
    ),
    _no_retry(
        "the volume is smaller than the image's minimum",
        "VolumeSmallerThanMinDisk",
        ("USER",),
        "smaller than the minimum",
        volume_size=1,
        image_min_disk=2,
    ),
    _no_retry("the flavor's memory is too small", "FlavorMemoryTooSmall", ("USER",), "too small"),
    _no_retry(
        "the image can't be used",
        "ImageUnacceptable",
        ("USER",),
        "unacceptable",
        image_id="the-image",
        reason="its backing file is not allowed",
    ),
    _no_retry("the image is not active", "ImageNotActive", ("USER",), "not active", image_id="the-image"),
    _no_retry(
        "the image's certificate is not valid",
        "CertificateValidationFailed",
        ("USER",),
        "certificate",
        cert_uuid="the-certificate",
        reason="it has expired",
    ),
    Scenario(
        "create: the image's signature is not valid",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "SignatureVerificationError"), effect="ERROR", blame=("USER", "UNKNOWN")),
        (driver("spawn", "cursive.exception.SignatureVerificationError", reason="it does not match"),),
        kind=Kind.NO_RETRY,
    ),
)
SCENARIOS: tuple[Scenario, ...] = (*_VOLUMES, *_NETWORKS, *_RESCHEDULES, *_WITHOUT_RETRY)
