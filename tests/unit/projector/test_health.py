"""The projector's answers on /healthz and /readyz."""

from __future__ import annotations

from stumble.projector.health import ProjectorHealth
from stumble.projector.partition_state import PartitionState, PartitionStatus


def test_live_needs_progress_unless_the_store_is_down():
    health = ProjectorHealth(stuck_after=0.0)
    health.turned(nothing_to_do=False)
    assert health.live()[0] is False
    health.store_down("the database does not answer")
    assert health.live() == (True, "the database does not answer")
    assert health.ready()[0] is False
    health.store_up()
    health.partitions({0, 1}, [])
    assert health.ready() == (True, "partitions read: 2")


def test_ready_names_blocked_partitions():
    health = ProjectorHealth(stuck_after=60)
    block = PartitionStatus("t", 1, PartitionState.REGISTRY_UNAVAILABLE, detail="no answer")
    health.partitions({0, 1}, [block])
    assert health.ready() == (False, "Partition 1 of t: waiting for the schema registry: no answer.")
