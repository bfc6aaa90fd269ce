"""Decides whether the restart of a nova-compute interrupted a request that it worked on."""

from __future__ import annotations

from typing import Final

from stumble.outcome.decide import RequestCase
from stumble.outcome.facts import Fact

#: Steps whose Success only means that the work is queued: it continues in the background of the same process
#: (nova/compute/manager.py, live_migration and snapshot_instance).
BACKGROUND: Final = frozenset({"compute_live_migration", "compute_snapshot_instance"})
_COMPUTE: Final = "nova-compute"


def was_interrupted(case: RequestCase, host: str, started_at: int) -> bool:
    """Return whether a nova-compute that started at ``started_at`` (UTC microseconds) has interrupted an open request.

    It has if it worked on the request before, had not ended its part, and has sent no event of it since.
    """
    by_compute = [fact for fact in case.group.facts if fact.origin.service == _COMPUTE]
    here = [fact for fact in by_compute if fact.origin.host == host]
    if not here or by_compute[-1].origin.host != host or here[-1].at >= started_at:
        return False
    runs = [run for run in case.runs if run.host == host and run.step.startswith("compute_")]
    if runs:
        return any(run.result is None or run.step in BACKGROUND for run in runs)
    return _last_of_work(here).phase != "END"  # without the tap only notifications show what runs


def _last_of_work(facts: list[Fact]) -> Fact:
    """Return the last fact that shows work, else the last fact; a change of states alone shows no work."""
    return next((fact for fact in reversed(facts) if fact.signal != "instance.update"), facts[-1])
