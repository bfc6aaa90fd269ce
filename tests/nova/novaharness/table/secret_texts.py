"""Texts of Nova and its libraries that contain a secret, each in the form in which real ones do."""

from __future__ import annotations

from typing import Any

from novaharness import canaries
from novaharness import vocabulary as v
from novaharness.vocabulary import HOST1, HOST2, Call, Expected, Fault, Kind, Scenario, driver, failed

SECRET = f"{canaries.MARK}text-3f9c"
"""In every text; the test of canaries looks for it in everything that stumble stores, sends and logs."""
_BASE64 = canaries.encoded(SECRET)

_RBD = f"rbd:vms/disk:id=cinder:key={SECRET}==:auth_supported=cephx:mon_host=192.0.2.30"
_VIRSH = f"virsh secret-set-value --secret 44444444-4444-4444-8444-444444444444 --base64 {SECRET}"
_CIFS = f"smbclient //192.0.2.31/volumes -U nova%{SECRET}"
_TRANSPORT = f"rabbit://nova:{SECRET}@192.0.2.32:5672,nova:{SECRET}@192.0.2.33:5672/"


def _scenario(name: str, given: str, call: Call, expected: tuple[Expected, ...], *faults: Fault) -> Scenario:
    return Scenario(name, given, call, expected, faults, kind=Kind.SECRET)


def _hidden(action: str, *failures: tuple[str, str], **more: Any) -> tuple[Expected, ...]:
    return failed(action, *failures, reason_lacks=(SECRET, _BASE64), **more)


SCENARIOS: tuple[Scenario, ...] = (
    _scenario(
        "create: the text contains Ceph's key",
        "nothing",
        v.CREATE,
        _hidden("create", (HOST1, "ImageUnacceptable"), effect="ERROR"),
        driver("spawn", "ImageUnacceptable", image_id="the-image", reason=f"qemu-img can't convert to {_RBD}"),
    ),
    _scenario(
        "resize: the command line contains Ceph's key",
        "active",
        v.RESIZE,
        _hidden("resize", (HOST1, "ProcessExecutionError"), effect="ERROR"),
        driver(
            "migrate_disk_and_power_off",
            "oslo_concurrency.processutils.ProcessExecutionError",
            cmd=f"qemu-img convert -O raw disk {_RBD}",
            stderr=f"cannot open {_RBD}",
        ),
    ),
    _scenario(
        "attach_volume: the text contains the value of virsh's secret",
        "active",
        v.ATTACH_VOLUME,
        _hidden("attach_volume", (HOST1, "VolumeAttachFailed")),
        driver("attach_volume", "VolumeAttachFailed", volume_id="the-volume", reason=f"{_VIRSH} failed"),
    ),
    _scenario(
        "attach_volume: the text contains user and password of a share",
        "active",
        v.ATTACH_VOLUME,
        _hidden("attach_volume", (HOST1, "VolumeAttachFailed")),
        driver("attach_volume", "VolumeAttachFailed", volume_id="the-volume", reason=f"{_CIFS} failed"),
    ),
    _scenario(
        "live migration: the text contains the URL of the message bus",
        "active",
        v.LIVE_MIGRATE,
        _hidden("live-migration", (HOST2, "MigrationPreCheckError"), verdict="NoValidHost"),
        driver(
            "check_can_live_migrate_destination", "MigrationPreCheckError", HOST2, reason=f"no reply on {_TRANSPORT}"
        ),
    ),
    _scenario(
        "createImage: the text contains a token",
        "active",
        v.SNAPSHOT,
        _hidden("createImage", (HOST1, "InstanceDeployFailure")),
        driver("snapshot", "InstanceDeployFailure", reason=f"PUT refused, X-Auth-Token: {SECRET}"),
    ),
)
