"""Which work a restart interrupts, by what is known of it."""

from __future__ import annotations

import pytest

from stumble.outcome.derive import open_cases
from stumble.outcome.interruption import interrupted
from tests.unit.outcome import dsl

ATTACH = "T api action_start attach_volume\nT h1 event_start compute_attach_volume"
RESIZE = "T api action_start resize\nT h2 event_start compute_prep_resize"
IMAGE = "T api action_start createImage\nT h1 event_start compute_snapshot_instance"
CREATE = (
    "T api action_start create\nT h1 event_start compute__do_build_and_run_instance\n"
    "V h1 instance.create.error !ComputeResourcesUnavailable"
)
LIVE = "T api action_start live-migration\nT h1 event_start compute_live_migration"


def judged(script: str, host: str, before_last: int = 0) -> bool:
    """Whether a start of `host` interrupts what the script tells; it starts before the last `before_last` facts."""
    facts = dsl.facts(script)
    ((case, _),) = open_cases(dsl.INSTANCE, [facts]).values()
    return interrupted(case, host, facts[-1 - before_last].at + 1)


@pytest.mark.parametrize(
    ("script", "host"),
    [
        (ATTACH, "h1"),
        (LIVE, "h1"),
        (LIVE + "\nT h1 event_finish.end compute_live_migration", "h1"),  # queued, and works in the background
        (IMAGE + "\nT h1 event_finish.end compute_snapshot_instance", "h1"),
        ("V h1 instance.suspend.start", "h1"),  # no tap
        ("V api instance.update\nL h1 instance.rescue.start\nL h1 instance.update", "h1"),
    ],
)
def test_interrupted(script: str, host: str) -> None:
    assert judged(script, host)


@pytest.mark.parametrize(
    ("script", "host"),
    [
        (ATTACH, "h2"),
        ("T api action_start attach_volume", "h1"),  # it waits in the queue: the compute takes it up when it is back
        ("T api action_start attach_volume\nT api event_start compute_attach_volume", "api"),
        (RESIZE + "\nT h2 event_finish.end compute_prep_resize", "h2"),  # handed on to the source
        (RESIZE + "\nT h2 event_finish.end compute_prep_resize\nT h1 event_start compute_resize_instance", "h2"),
        (CREATE + "\nT h1 event_finish.end compute__do_build_and_run_instance", "h1"),  # Nova tries another host
    ],
)
def test_not_interrupted(script: str, host: str) -> None:
    assert not judged(script, host)


def test_what_is_taken_up_again_is_not_interrupted() -> None:
    assert not judged(ATTACH + "\nT h1 event_start compute_attach_volume", "h1", before_last=1)
