"""Which work a restart of a host interrupts, by its facts."""

from __future__ import annotations

import pytest

from stumble.outcome.derive import open_cases
from stumble.outcome.interruption import was_interrupted
from tests.unit.outcome import dsl

ATTACH = "T api action_start attach_volume\nT h1 event_start compute_attach_volume"
RESIZE = "T api action_start resize\nT h2 event_start compute_prep_resize"
IMAGE = "T api action_start createImage\nT h1 event_start compute_snapshot_instance"
CREATE = (
    "T api action_start create\nT h1 event_start compute__do_build_and_run_instance\n"
    "V h1 instance.create.error !ComputeResourcesUnavailable"
)
LIVE = "T api action_start live-migration\nT h1 event_start compute_live_migration"


def is_interrupted(script: str, host: str, before_last: int = 0) -> bool:
    """Whether a start of `host` before the last `before_last` facts interrupts the work of the script."""
    facts = dsl.facts(script)
    ((case, _),) = open_cases(dsl.INSTANCE, [facts]).values()
    return was_interrupted(case, host, facts[-1 - before_last].at + 1)


@pytest.mark.parametrize(
    ("script", "host"),
    [
        (ATTACH, "h1"),
        (LIVE, "h1"),
        (LIVE + "\nT h1 event_finish.end compute_live_migration", "h1"),  # queued, works in the background
        (IMAGE + "\nT h1 event_finish.end compute_snapshot_instance", "h1"),
        ("V h1 instance.suspend.start", "h1"),  # no tap
        ("V api instance.update\nL h1 instance.rescue.start\nL h1 instance.update", "h1"),
    ],
)
def test_running_work_on_the_restarted_host_is_interrupted(script: str, host: str) -> None:
    assert is_interrupted(script, host)


@pytest.mark.parametrize(
    ("script", "host"),
    [
        (ATTACH, "h2"),
        (
            "T api action_start attach_volume",
            "h1",
        ),  # the message waits in the queue: the compute processes it after the restart
        ("T api action_start attach_volume\nT api event_start compute_attach_volume", "api"),
        (RESIZE + "\nT h2 event_finish.end compute_prep_resize", "h2"),  # the source host has taken over
        (RESIZE + "\nT h2 event_finish.end compute_prep_resize\nT h1 event_start compute_resize_instance", "h2"),
        (CREATE + "\nT h1 event_finish.end compute__do_build_and_run_instance", "h1"),  # Nova tries another host
    ],
)
def test_queued_finished_or_remote_work_is_not_interrupted(script: str, host: str) -> None:
    assert not is_interrupted(script, host)


def test_work_that_starts_again_after_the_restart_is_not_interrupted() -> None:
    assert not is_interrupted(ATTACH + "\nT h1 event_start compute_attach_volume", "h1", before_last=1)
