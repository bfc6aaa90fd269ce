"""The possible ends of rebuilds, images, backups and shelving."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import CONTROLLER, HOST1, Fault, Scenario, driver, failed, ok, spawn

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("rebuild works", "active", v.REBUILD, ok("rebuild")),
    Scenario(
        "rebuild fails on the host",
        "active",
        v.REBUILD,
        failed("rebuild", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (spawn("HypervisorUnavailable"),),
    ),
    Scenario("createImage works", "active", v.SNAPSHOT, ok("createImage")),
    Scenario(
        "createImage fails",
        "active",
        v.SNAPSHOT,
        failed("createImage", (HOST1, "HypervisorUnavailable")),
        (driver("snapshot", "HypervisorUnavailable"),),
    ),
    Scenario("createBackup works", "active", v.BACKUP, ok("createBackup")),
    Scenario(
        "createBackup fails",
        "active",
        v.BACKUP,
        failed("createBackup", (HOST1, "HypervisorUnavailable")),
        (driver("snapshot", "HypervisorUnavailable"),),
    ),
    Scenario("shelve works", "active", v.SHELVE, ok("shelve")),
    Scenario(
        "shelve fails",
        "active",
        v.SHELVE,
        failed("shelve", (HOST1, "HypervisorUnavailable")),
        (driver("snapshot", "HypervisorUnavailable"),),
    ),
    Scenario("unshelve works", "shelved", v.UNSHELVE, ok("unshelve")),
    Scenario(
        "unshelve: no valid host",
        "shelved",
        v.UNSHELVE,
        failed("unshelve", (CONTROLLER, "NoValidHost")),
        (
            Fault(
                "nova.scheduler.client.report.SchedulerReportClient.get_allocation_candidates",
                does="nothing",
            ),
        ),
        tour=True,
    ),
    Scenario(
        "unshelve fails on the host",
        "shelved",
        v.UNSHELVE,
        failed("unshelve", (HOST1, "HypervisorUnavailable")),
        (spawn("HypervisorUnavailable"),),
    ),
    Scenario(
        "rebuild with another image: no valid host",
        "active",
        v.REBUILD_OTHER_IMAGE,
        failed("rebuild", (CONTROLLER, "NoValidHost"), effect="ERROR"),
        (
            Fault(
                "nova.scheduler.client.query.SchedulerQueryClient.select_destinations",
                "nova.exception.NoValidHost",
                keywords={"reason": "no host takes this image"},
            ),
        ),
    ),
    Scenario(
        "shelve without offload works",
        "active",
        v.SHELVE,
        ok("shelve"),
        options={"shelved_offload_time": -1},
    ),
    Scenario(
        "shelve: the offload fails",
        "active",
        v.SHELVE,
        failed("shelve", (HOST1, "HypervisorUnavailable"), effect="OTHER"),
        (driver("destroy", "HypervisorUnavailable"),),
    ),
    Scenario(
        "shelveOffload works",
        "shelved",
        v.SHELVE_OFFLOAD,
        ok("shelveOffload"),
        options={"shelved_offload_time": -1},
    ),
    Scenario(
        "shelveOffload fails",
        "shelved",
        v.SHELVE_OFFLOAD,
        failed("shelveOffload", (HOST1, "HypervisorUnavailable")),
        (driver("destroy", "HypervisorUnavailable"),),
        options={"shelved_offload_time": -1},
    ),
    Scenario(
        "unshelve: the image is gone",
        "shelved",
        v.UNSHELVE,
        failed("unshelve", (CONTROLLER, "ImageNotFound"), effect="ERROR"),
        (
            Fault(
                "nova.image.glance.API.get",
                "nova.exception.ImageNotFound",
                keywords={"image_id": "the-image"},
                host=CONTROLLER,
            ),
        ),
    ),
    Scenario("createImage of a volume-backed server works", "from volume", v.SNAPSHOT, ok("createImage")),
)
