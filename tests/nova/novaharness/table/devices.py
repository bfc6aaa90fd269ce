"""Attaching, detaching, extending volumes and interfaces."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, Fault, Scenario, driver, failed, ok

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("attach_volume works", "active", v.ATTACH_VOLUME, ok("attach_volume"), tour=True),
    Scenario(
        "attach_volume: the hypervisor fails",
        "active",
        v.ATTACH_VOLUME,
        failed("attach_volume", (HOST1, "VolumeAttachFailed")),
        (driver("attach_volume", "VolumeAttachFailed", volume_id="the-volume", reason="no path"),),
        tour=True,
    ),
    Scenario(
        "attach_volume: Cinder fails",
        "active",
        v.ATTACH_VOLUME,
        failed("attach_volume", (HOST1, "CinderConnectionFailed")),
        (
            Fault(
                where="nova.volume.cinder.API.attachment_update",
                host=HOST1,
                raises="nova.exception.CinderConnectionFailed",
                keywords={"reason": "503 Service Unavailable"},
            ),
        ),
    ),
    Scenario("detach_volume works", "with volume", v.DETACH_VOLUME, ok("detach_volume")),
    Scenario(
        "detach_volume fails",
        "with volume",
        v.DETACH_VOLUME,
        failed("detach_volume", (HOST1, "DeviceDetachFailed")),
        (driver("detach_volume", "DeviceDetachFailed", device="vdb", reason="busy"),),
    ),
    Scenario("extend_volume works", "with volume", v.EXTEND_VOLUME, ok("extend_volume")),
    Scenario(
        "extend_volume fails",
        "with volume",
        v.EXTEND_VOLUME,
        failed("extend_volume", (HOST1, "ExtendVolumeNotSupported")),
        (driver("extend_volume", "ExtendVolumeNotSupported"),),
    ),
    Scenario("attach_interface works", "active", v.ATTACH_PORT, ok("attach_interface")),
    Scenario(
        "attach_interface fails",
        "active",
        v.ATTACH_PORT,
        failed("attach_interface", (HOST1, "InterfaceAttachFailed")),
        (driver("attach_interface", "InterfaceAttachFailed", instance_uuid="the-server"),),
    ),
    Scenario("detach_interface works", "with port", v.DETACH_PORT, ok("detach_interface")),
    Scenario(
        "detach_interface fails",
        "with port",
        v.DETACH_PORT,
        failed("detach_interface", (HOST1, "InterfaceDetachFailed")),
        (driver("detach_interface", "InterfaceDetachFailed", instance_uuid="the-server"),),
    ),
    Scenario(
        "extend_volume of two volumes at once",
        "with volume",
        v.EXTEND_TWO_VOLUMES,
        (*ok("extend_volume"), *ok("extend_volume")),
        before=(v.ATTACH_SECOND_VOLUME,),
    ),
    Scenario("attach_volume to a shelved server works", "shelved", v.ATTACH_VOLUME, ok("attach_volume")),
    Scenario(
        "refused: attach_volume to a shelved server without Cinder",
        "shelved",
        v.ATTACH_VOLUME_FAILING,
        (),
        (
            Fault(
                "nova.volume.cinder.API.attachment_create",
                "nova.exception.CinderConnectionFailed",
                keywords={"reason": "503 Service Unavailable"},
                after=0,
            ),
        ),
    ),
    Scenario(
        "detach_volume from a shelved server works",
        "with volume",
        v.DETACH_VOLUME,
        ok("detach_volume"),
        before=(v.SHELVE,),
    ),
    Scenario(
        "attach_interface: Neutron fails",
        "active",
        v.ATTACH_PORT,
        failed("attach_interface", (HOST1, "PortBindingFailed")),
        (
            Fault(
                "nova.network.neutron.API.allocate_for_instance",
                "nova.exception.PortBindingFailed",
                keywords={"port_id": "the-port"},
                host=HOST1,
            ),
        ),
    ),
)
