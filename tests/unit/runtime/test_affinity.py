"""A busy process is pinned to one core, and unpinned when other processes need the core."""

import os
import threading
import time

import pytest

from stumble.runtime import affinity as module
from stumble.runtime.affinity import (
    NONE,
    CoreAffinity,
    CoreTimes,
    current_core,
    permitted_cores,
    pin_to_core,
    read_core_times,
)


class Machine:
    """Simulates a machine with two cores: each call advances the time and the usage, then updates the affinity."""

    def __init__(self) -> None:
        self.times = CoreTimes(100.0, 0.0, {0: 0.0, 1: 0.0})
        self.requested: list[list[int]] = []

    def __call__(self, core: CoreAffinity, seconds: float, own: float, cores: dict[int, float]) -> int | None:
        at, own_before, before = self.times
        usage = {key: before[key] + cores.get(key, 0.0) for key in before}
        self.times = CoreTimes(at + seconds, own_before + own, usage)
        core.update()
        return core.pinned


@pytest.fixture
def machine(monkeypatch):
    simulated = Machine()
    monkeypatch.setattr(module, "read_core_times", lambda: simulated.times)
    monkeypatch.setattr(module, "current_core", lambda: 1)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: simulated.requested.append(cores))
    return simulated


def test_busy_process_is_pinned_to_its_core_and_idle_process_is_not(machine):
    core = CoreAffinity(allowed=[0, 1])
    assert machine(core, 1, 0.9, {}) is None  # nothing to compare with yet
    assert machine(core, 2, 0.2, {1: 0.2}) is None
    assert machine(core, 2, 1.8, {1: 1.8}) == 1
    assert machine.requested[-1] == [1]
    assert machine(core, 2, 1.0, {1: 1.4}) == 1
    assert machine(core, 2, 0.1, {1: 0.1}) is None
    assert machine.requested[-1] == [0, 1]


def test_core_that_others_need_is_released_for_a_while(machine):
    core = CoreAffinity(allowed=[0, 1])
    machine(core, 1, 0, {})
    assert machine(core, 2, 1.8, {1: 1.8}) == 1
    assert machine(core, 2, 1.0, {1: 2.0}) is None
    assert machine(core, 4, 4.0, {0: 4.0}) is None
    assert machine(core, 12, 12.0, {0: 12.0}) == 1


def test_processes_are_pinned_to_different_cores(machine):
    for number, expected in ((0, 2), (1, 5), (2, 2)):
        core = CoreAffinity(number, allowed=[2, 5])
        machine(core, 2, 0, {})
        assert machine(core, 2, 2.0, {}) == expected


@pytest.mark.parametrize(
    "core", [CoreAffinity(NONE, allowed=[0, 1]), CoreAffinity(allowed=[0]), CoreAffinity(allowed=[])]
)
def test_process_is_not_pinned_when_disabled_or_with_a_single_core(machine, core):
    machine(core, 2, 0, {})
    assert machine(core, 2, 2.0, {}) is None
    assert not machine.requested


def test_process_is_not_pinned_without_usage_data(machine, monkeypatch, tmp_path):
    core = CoreAffinity(allowed=[0, 1])
    monkeypatch.setattr(module, "read_core_times", (tmp_path / "proc" / "stat").read_text)
    assert machine(core, 2, 2.0, {}) is None
    assert (core.allowed, machine.requested) == ([], [])


def test_process_is_unpinned_when_usage_data_become_unavailable(machine, monkeypatch, tmp_path):
    core = CoreAffinity(allowed=[0, 1])
    machine(core, 2, 0, {})
    assert machine(core, 2, 2.0, {1: 2.0}) == 1
    monkeypatch.setattr(module, "read_core_times", (tmp_path / "proc" / "stat").read_text)
    assert machine(core, 2, 2.0, {1: 2.0}) is None
    assert machine.requested[-1] == [0, 1]


def test_affinity_is_updated_during_the_work_and_reset_afterwards(machine, monkeypatch):
    updates = threading.Semaphore(0)

    def update(core: CoreAffinity) -> None:
        core.pinned = 1
        updates.release()

    monkeypatch.setattr(CoreAffinity, "update", update)
    with pin_to_core(1, every_seconds=0.001):
        assert updates.acquire(timeout=60)
        assert updates.acquire(timeout=60)
    assert machine.requested[-1] == permitted_cores()


def test_core_times_are_read_and_all_threads_are_pinned():
    before = read_core_times()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = read_core_times()
    assert after.own - before.own >= 0.2
    assert sum(after.cores.values()) >= sum(before.cores.values())
    assert current_core() in after.cores
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    core = CoreAffinity(0)
    try:
        core.pin(permitted_cores()[0])
        assert _affinities(threading.main_thread(), other) == {(permitted_cores()[0],)}
        core.unpin()
        assert _affinities(threading.main_thread(), other) == {tuple(core.allowed)}
    finally:
        core.unpin()
        stop.set()
        other.join()


def _affinities(*threads: threading.Thread) -> set[tuple[int, ...]]:
    """Return the cores that threads may run on. Libraries start threads of their own at any time, so not all count."""
    return {tuple(sorted(os.sched_getaffinity(one.native_id or 0))) for one in threads}
