"""Nova ends a request itself: a time-out of its own, or a service that stops. Nobody has cancelled anything."""

from __future__ import annotations

from novaharness import vocabulary as v
from novaharness.vocabulary import (
    HOST1,
    HOST2,
    Expected,
    Fault,
    Kind,
    Scenario,
    driver,
    failed,
    request_during,
)

_DRIVER = "nova.virt.fake.FakeDriver"
_TIMED_OUT = Fault(f"{_DRIVER}.live_migration", does="job timed out")
_ROLLED_BACK = failed("live-migration", (HOST1, "LiveMigrationRolledBack"))
_HANGS = Fault(f"{_DRIVER}.spawn", does="hangs", host=HOST1)
_BUILD_TIME_OUT = {"instance_build_timeout": 1}
_CLEANS_UP = Fault(
    "nova.compute.manager.ComputeManager._live_migration_cleanup_flags", does="returns", arguments=((True, True),)
)
"""The driver's disks are not shared: the destination cleans up after a rollback."""
_QUEUED = Fault("nova.compute.manager.ComputeManager.live_migration", does="stays queued")

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "live migration: Nova's own time-out aborts the job",
        "active",
        v.LIVE_MIGRATE,
        _ROLLED_BACK,
        (_TIMED_OUT,),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "live migration: Nova's own time-out aborts the job, then deleted",
        "active",
        v.LIVE_MIGRATE,
        _ROLLED_BACK,
        (_TIMED_OUT,),
        after=(v.DELETE,),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "live migration of a server with a volume: Nova's own time-out aborts the job",
        "with volume",
        v.LIVE_MIGRATE_TO_HOST2,
        _ROLLED_BACK,
        (_TIMED_OUT,),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "live migration: Nova's own time-out aborts the job, the destination can't clean up",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST1, "LiveMigrationRolledBack"), (HOST2, "HypervisorUnavailable")),
        (_TIMED_OUT, _CLEANS_UP, driver("rollback_live_migration_at_destination", "HypervisorUnavailable", HOST2)),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "live migration: nova-compute stops while it is queued",
        "active",
        v.LIVE_MIGRATE,
        failed("live-migration", (HOST1, "LiveMigrationRolledBack"), effect="UNKNOWN"),
        (_QUEUED,),
        after=(v.RESTART_HOST1,),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "live migration is aborted while it is queued",
        "active",
        v.LIVE_MIGRATE,
        (Expected("live-migration", "CANCELLED"),),
        (_QUEUED,),
        after=(v.ABORT_MIGRATION,),
        cleanup=(v.RESTART_HOST1,),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "live migration: the job and the clean-up on the destination fail",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST1, "LiveMigrationRolledBack"), (HOST2, "HypervisorUnavailable")),
        (
            Fault(f"{_DRIVER}.live_migration", does="job fails"),
            _CLEANS_UP,
            driver("rollback_live_migration_at_destination", "HypervisorUnavailable", HOST2),
        ),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "live migration: the job and the rollback on the source fail",
        "active",
        v.LIVE_MIGRATE_TO_HOST2,
        failed("live-migration", (HOST1, "HypervisorUnavailable"), effect="ERROR"),
        (
            Fault(f"{_DRIVER}.live_migration", does="job fails"),
            driver("rollback_live_migration_at_source", "HypervisorUnavailable", HOST1),
        ),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "create: the hypervisor hangs until Nova's own time-out",
        "nothing",
        v.CREATE,
        failed("create", (HOST1, "BuildTimedOut"), effect="ERROR"),
        (_HANGS,),
        options=_BUILD_TIME_OUT,
        after=(v.WAIT_ONE_SECOND, v.PERIODIC_BUILD_TIME),
        kind=Kind.TIME_OUT,
    ),
    Scenario(
        "create: the hypervisor finishes after Nova's own time-out",
        "nothing",
        v.CREATE,
        # Nova sets the server to ERROR, then saves `active`.
        (Expected("create", "RECOVERED", ((HOST1, "BuildTimedOut"),), None, "ERROR", earlier=("FAILED",)),),
        request_during(f"{_DRIVER}.spawn", v.WAIT_ONE_SECOND, v.PERIODIC_BUILD_TIME),
        options=_BUILD_TIME_OUT,
        kind=Kind.TIME_OUT,
    ),
)
