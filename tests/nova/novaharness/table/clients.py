"""Exceptions of OpenStack's client libraries, os-brick, castellan, librbd and libvirt, some of which have Nova's names.

Their texts are not for users: they contain addresses inside the cloud, names of pools, answers about tokens.
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
    ok,
    raising,
)

_NETWORK, _VOLUME = "nova.network.neutron.API", "nova.volume.cinder.API"
_ALLOCATE = f"{_NETWORK}.allocate_for_instance"
_UPDATE_ATTACHMENT = f"{_VOLUME}.attachment_update"
_NEUTRON, _CINDER, _KEYSTONE, _GLANCE = (
    "neutronclient.common.exceptions",
    "cinderclient.exceptions",
    "keystoneauth1.exceptions",
    "glanceclient.exc",
)
_ADDRESS = "192.0.2.10"
_URL = f"http://{_ADDRESS}:9696/v2.0/ports"
_POOL = "vms-internal"
_DEPENDENCY = ("DEPENDENCY", "UNKNOWN")
"""A service on which Nova depends, or not known: never the user, never capacity."""
_NOT_THE_USERS = ("DEPENDENCY", "OPERATOR", "UNKNOWN")


def _scenario(name: str, given: str, call: Call, expected: tuple[Expected, ...], *faults: Fault) -> Scenario:
    return Scenario(name, given, call, expected, faults, kind=Kind.CLIENT)


def _with_hidden_text(
    action: str, *failures: tuple[str, str], blame: tuple[str, ...] = _DEPENDENCY, **more: Any
) -> tuple[Expected, ...]:
    """Return the record of a request that an exception of a library ended: its text is in no reason."""
    return failed(action, *failures, blame=blame, reason_lacks=(_ADDRESS, _POOL), **more)


def _attach_volume(
    name: str, exception: str, *arguments: Any, blame: tuple[str, ...] = _DEPENDENCY, **keywords: Any
) -> Scenario:
    return _scenario(
        f"attach_volume: {name}",
        "active",
        v.ATTACH_VOLUME,
        _with_hidden_text("attach_volume", (HOST1, exception.rpartition(".")[2]), blame=blame),
        raising(_UPDATE_ATTACHMENT, exception, *arguments, host=HOST1, **keywords),
    )


def _attach_interface(name: str, exception: str, *arguments: Any, blame: tuple[str, ...] = _DEPENDENCY) -> Scenario:
    return _scenario(
        f"attach_interface: {name}",
        "active",
        v.ATTACH_PORT,
        _with_hidden_text("attach_interface", (HOST1, exception.rpartition(".")[2]), blame=blame),
        raising(_ALLOCATE, exception, *arguments, host=HOST1),
    )


_NEUTRON_SCENARIOS = (
    _scenario(
        "create: Neutron answers 503",
        "nothing",
        v.CREATE_WITH_PORT,
        _with_hidden_text(
            "create",
            (HOST1, "ServiceUnavailable"),
            (HOST2, "ServiceUnavailable"),
            verdict="MaxRetriesExceeded",
            effect="ERROR",
        ),
        raising(_ALLOCATE, f"{_NEUTRON}.ServiceUnavailable", _URL),
    ),
    _scenario(
        "create: Neutron can't be reached on host1, host2 succeeds",
        "nothing",
        v.CREATE_WITH_PORT,
        (Expected("create", "RECOVERED", ((HOST1, "ConnectionFailed"),), None, "NONE", _DEPENDENCY, (), (_ADDRESS,)),),
        raising(_ALLOCATE, f"{_NEUTRON}.ConnectionFailed", host=HOST1, reason=f"{_URL} refused"),
    ),
    _attach_interface("Neutron answers 503", f"{_NEUTRON}.ServiceUnavailable", _URL),
    _attach_interface("Neutron does not accept Nova's token", f"{_NEUTRON}.Unauthorized", _URL, blame=_NOT_THE_USERS),
    _attach_interface("Neutron's client finds nothing", f"{_NEUTRON}.NotFound", _URL),
    _attach_interface("Neutron can't be reached", f"{_KEYSTONE}.ConnectFailure", f"Unable to establish: {_URL}"),
    _scenario(
        "attach_interface: Nova's own Forbidden keeps its text",
        "active",
        Call(v.ATTACH_PORT.method, v.ATTACH_PORT.path, v.ATTACH_PORT.body, accept=(403,)),
        failed("attach_interface", (HOST1, "Forbidden"), reason_has=("port belongs to another project",)),
        raising(_ALLOCATE, "Forbidden", "port belongs to another project", host=HOST1),
    ),
    _scenario(
        "detach_interface: Neutron answers 503",
        "with port",
        v.DETACH_PORT,
        _with_hidden_text("detach_interface", (HOST1, "ServiceUnavailable")),
        raising(f"{_NETWORK}.deallocate_port_for_instance", f"{_NEUTRON}.ServiceUnavailable", _URL, host=HOST1),
    ),
    _scenario(
        "delete: Neutron's client fails",
        "with port",
        v.DELETE,
        _with_hidden_text("delete", (HOST1, "ServiceUnavailable"), effect="ERROR"),
        raising(f"{_NETWORK}.deallocate_for_instance", f"{_NEUTRON}.ServiceUnavailable", _URL),
    ),
    _scenario(
        "resize: Neutron answers 503 on the destination",
        "active",
        v.RESIZE,
        _with_hidden_text("resize", (HOST2, "ServiceUnavailable"), effect="ERROR"),
        raising(f"{_NETWORK}.migrate_instance_finish", f"{_NEUTRON}.ServiceUnavailable", _URL, host=HOST2),
    ),
    _scenario(
        "live migration: Neutron answers 503 to the destination",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        _with_hidden_text("live-migration", (HOST2, "ServiceUnavailable")),
        raising(f"{_NETWORK}.setup_networks_on_host", f"{_NEUTRON}.ServiceUnavailable", _URL, host=HOST2),
    ),
    _scenario(
        "unshelve: Neutron does not accept Nova's token",
        "shelved",
        v.UNSHELVE,
        _with_hidden_text("unshelve", (HOST1, "Unauthorized"), blame=_NOT_THE_USERS),
        raising(f"{_NETWORK}.setup_instance_network_on_host", f"{_NEUTRON}.Unauthorized", _URL, host=HOST1),
    ),
)
_CINDER_SCENARIOS = (
    _attach_volume("500 of Cinder's client", f"{_CINDER}.ClientException", 500, _URL),
    _attach_volume("Cinder's client finds no endpoint", f"{_CINDER}.NotFound", 404, f"no endpoint {_URL}"),
    _attach_volume("Cinder does not accept Nova's token", f"{_CINDER}.Unauthorized", 401, _URL, blame=_NOT_THE_USERS),
    _attach_volume(
        "Keystone's catalog has no Cinder",
        f"{_KEYSTONE}.EndpointNotFound",
        f"{_URL} is no endpoint",
        blame=_NOT_THE_USERS,
    ),
    _attach_volume("Keystone answers 503", f"{_KEYSTONE}.ServiceUnavailable", _URL),
    _attach_volume(
        "Keystone does not know Nova's password any more", f"{_KEYSTONE}.Unauthorized", _URL, blame=_NOT_THE_USERS
    ),
    _scenario(
        "detach_volume: 504 of Cinder's client",
        "with volume",
        v.DETACH_VOLUME,
        _with_hidden_text("detach_volume", (HOST1, "ClientException")),
        raising(f"{_VOLUME}.attachment_delete", f"{_CINDER}.ClientException", 504, _URL, host=HOST1),
    ),
    _scenario(
        "delete: 500 of Cinder's client, Nova goes on",
        "with volume",
        v.DELETE,
        ok("delete"),
        raising(f"{_VOLUME}.attachment_delete", f"{_CINDER}.ClientException", 500, _URL, host=HOST1),
    ),
    _scenario(
        "live migration: 500 of Cinder's client on the destination",
        "with volume",
        v.LIVE_MIGRATE_TO_HOST2,
        _with_hidden_text("live-migration", (HOST2, "ClientException")),
        raising(f"{_VOLUME}.attachment_create", f"{_CINDER}.ClientException", 500, _URL, host=HOST2),
    ),
)
_GLANCE_SCENARIOS = (
    _scenario(
        "createImage: 500 of Glance's client",
        "active",
        v.SNAPSHOT,
        _with_hidden_text("createImage", (HOST1, "HTTPInternalServerError")),
        driver("snapshot", f"{_GLANCE}.HTTPInternalServerError", details=_URL),
    ),
    _scenario(
        "createImage: the user's token expires during the upload",
        "active",
        v.SNAPSHOT,
        _with_hidden_text("createImage", (HOST1, "HTTPUnauthorized"), blame=_NOT_THE_USERS),
        driver("snapshot", f"{_GLANCE}.HTTPUnauthorized", details=_URL),
    ),
    _scenario(
        "create: Glance's client finds nothing, on both hosts",
        "nothing",
        v.CREATE,
        _with_hidden_text(
            "create", (HOST1, "NotFound"), (HOST2, "NotFound"), verdict="MaxRetriesExceeded", effect="ERROR"
        ),
        driver("spawn", f"{_GLANCE}.NotFound", details=_URL),
    ),
)
_PLACEMENT_SCENARIOS = (
    _scenario(
        "resize: Placement does not accept the conductor's token",
        "active",
        v.RESIZE,
        _with_hidden_text("resize", (CONTROLLER, "Unauthorized"), blame=_NOT_THE_USERS),
        raising(
            "nova.scheduler.client.report.SchedulerReportClient.get_allocs_for_consumer",
            f"{_KEYSTONE}.Unauthorized",
            _URL,
            host=CONTROLLER,
        ),
    ),
    _scenario(
        "create: Placement can't be reached by the scheduler",
        "nothing",
        v.CREATE,
        failed("create", (CONTROLLER, "NoValidHost"), effect="ERROR", reason_lacks=(_ADDRESS,)),
        raising(
            "nova.scheduler.client.report.SchedulerReportClient.get",
            f"{_KEYSTONE}.ConnectFailure",
            _URL,
            host=CONTROLLER,
        ),
    ),
)
_HOST_SCENARIOS = (
    _scenario(
        "create: the image's copy is gone from the pool, on both hosts",
        "nothing",
        v.CREATE,
        _with_hidden_text(
            "create",
            (HOST1, "ImageNotFound"),
            (HOST2, "ImageNotFound"),
            verdict="MaxRetriesExceeded",
            effect="ERROR",
            blame=_NOT_THE_USERS,
        ),
        Fault(
            "nova.virt.fake.FakeDriver.spawn",
            "novaharness.foreign.ImageNotFound",
            (f"[errno 2] RBD image not found (error opening image b'disk' in pool {_POOL})",),
        ),
    ),
    _scenario(
        "attach_volume: os-brick finds no device",
        "active",
        v.ATTACH_VOLUME,
        _with_hidden_text("attach_volume", (HOST1, "NotFound"), blame=_NOT_THE_USERS),
        driver("attach_volume", "os_brick.exception.NotFound", message=f"no path to {_ADDRESS}"),
    ),
    _scenario(
        "attach_volume: os-brick can't encrypt the volume",
        "active",
        v.ATTACH_VOLUME,
        _with_hidden_text("attach_volume", (HOST1, "VolumeEncryptionNotSupported"), blame=_NOT_THE_USERS),
        driver("attach_volume", "os_brick.exception.VolumeEncryptionNotSupported", message=f"not on {_ADDRESS}"),
    ),
    _scenario(
        "attach_volume: the key manager refuses the key",
        "active",
        v.ATTACH_VOLUME,
        _with_hidden_text("attach_volume", (HOST1, "Forbidden"), blame=_NOT_THE_USERS),
        driver("attach_volume", "castellan.common.exception.Forbidden", message=f"barbican at {_ADDRESS}"),
    ),
    _scenario(
        "attach_volume: the key manager fails",
        "active",
        v.ATTACH_VOLUME,
        _with_hidden_text("attach_volume", (HOST1, "KeyManagerError"), blame=_NOT_THE_USERS),
        driver("attach_volume", "castellan.common.exception.KeyManagerError", reason=f"barbican at {_ADDRESS}"),
    ),
    _scenario(
        "rebuild: Ironic's client finds no node",
        "active",
        v.REBUILD,
        _with_hidden_text("rebuild", (HOST1, "NotFound"), effect="ERROR", blame=_NOT_THE_USERS),
        Fault("nova.virt.fake.FakeDriver.spawn", "novaharness.foreign.NotFound", (_URL,)),
    ),
    _scenario(
        "reboot: libvirt fails, the server is down",
        "active",
        v.REBOOT_HARD,
        _with_hidden_text("reboot", (HOST1, "libvirtError"), effect="ERROR", blame=("OPERATOR", "UNKNOWN")),
        Fault(
            "nova.virt.fake.FakeDriver.reboot",
            "novaharness.foreign.libvirtError",
            (f"internal error: pool {_POOL}",),
            does="guest dies",
        ),
    ),
)
SCENARIOS: tuple[Scenario, ...] = (
    *_NEUTRON_SCENARIOS,
    *_CINDER_SCENARIOS,
    *_GLANCE_SCENARIOS,
    *_PLACEMENT_SCENARIOS,
    *_HOST_SCENARIOS,
)
