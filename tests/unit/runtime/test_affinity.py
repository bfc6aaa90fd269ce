"""A busy projector keeps to one core, and leaves it to whoever needs it."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from stumble.runtime import affinity as module
from stumble.runtime.affinity import (
    NONE,
    CoreAffinity,
    CoreTimes,
    current_core,
    permitted,
    pin_to_core,
    read_core_times,
)


@pytest.fixture
def machine(monkeypatch):
    """A machine of two cores whose use is told; moments pass by themselves."""
    told = CoreTimes(100.0, 0.0, {0: 0.0, 1: 0.0})
    asked = []

    def pass_by(core, seconds, own, cores):
        nonlocal told
        told = CoreTimes(
            told.at + seconds, told.own + own, {key: told.cores[key] + cores.get(key, 0.0) for key in told.cores}
        )
        core.update()
        return core.pinned

    monkeypatch.setattr(module, "read_core_times", lambda: told)
    monkeypatch.setattr(module, "current_core", lambda: 1)
    monkeypatch.setattr(module.os, "sched_setaffinity", lambda _, cores: asked.append(cores))
    pass_by.asked = asked
    return pass_by


def test_a_busy_one_keeps_to_the_core_it_runs_on_and_a_calm_one_to_none(machine):
    core = CoreAffinity(allowed=[0, 1])
    assert machine(core, 1, 0.9, {}) is None  # nothing to compare with yet
    assert machine(core, 2, 0.2, {1: 0.2}) is None
    assert machine(core, 2, 1.8, {1: 1.8}) == 1
    assert machine.asked[-1] == [1]
    assert machine(core, 2, 1.0, {1: 1.4}) == 1
    assert machine(core, 2, 0.1, {1: 0.1}) is None
    assert machine.asked[-1] == [0, 1]


def test_a_core_that_others_need_is_left_to_them_for_a_while(machine):
    core = CoreAffinity(allowed=[0, 1])
    machine(core, 1, 0, {})
    assert machine(core, 2, 1.8, {1: 1.8}) == 1
    assert machine(core, 2, 1.0, {1: 2.0}) is None
    assert machine(core, 4, 4.0, {0: 4.0}) is None
    assert machine(core, 12, 12.0, {0: 12.0}) == 1


def test_several_have_one_each(machine):
    for number, expected in ((0, 2), (1, 5), (2, 2)):
        core = CoreAffinity(number, allowed=[2, 5])
        machine(core, 2, 0, {})
        assert machine(core, 2, 2.0, {}) == expected


@pytest.mark.parametrize(
    "core", [CoreAffinity(NONE, allowed=[0, 1]), CoreAffinity(allowed=[0]), CoreAffinity(allowed=[])]
)
def test_none_is_kept_to_where_that_is_asked_or_there_is_but_one(machine, core):
    machine(core, 2, 0, {})
    assert machine(core, 2, 2.0, {}) is None
    assert not machine.asked


def test_a_system_that_tells_nothing_is_left_as_it_is(machine, monkeypatch, tmp_path):
    core = CoreAffinity(allowed=[0, 1])
    monkeypatch.setattr(module, "read_core_times", (tmp_path / "proc" / "stat").read_text)
    assert machine(core, 2, 2.0, {}) is None
    assert (core.allowed, machine.asked) == ([], [])


def test_a_system_that_tells_no_more_lets_it_run_anywhere_again(machine, monkeypatch, tmp_path):
    core = CoreAffinity(allowed=[0, 1])
    machine(core, 2, 0, {})
    assert machine(core, 2, 2.0, {1: 2.0}) == 1
    monkeypatch.setattr(module, "read_core_times", (tmp_path / "proc" / "stat").read_text)
    assert machine(core, 2, 2.0, {1: 2.0}) is None
    assert machine.asked[-1] == [0, 1]


def test_it_looks_while_something_is_done_and_runs_anywhere_afterwards(machine, monkeypatch):
    looks = threading.Semaphore(0)
    monkeypatch.setattr(CoreAffinity, "update", lambda core: (setattr(core, "pinned", 1), looks.release()))
    with pin_to_core(1, every_seconds=0.001):
        assert looks.acquire(timeout=60)
        assert looks.acquire(timeout=60)
    assert machine.asked[-1] == permitted()


def test_what_the_system_tells_and_all_threads_move():
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
        core.pin(permitted()[0])
        assert _affinities() == {(permitted()[0],)}
    finally:
        core.unpin()
        stop.set()
        other.join()
    assert _affinities() == {tuple(core.allowed)}


def _affinities():
    """What threads may run on; one that was joined may still be listed for a moment."""
    found = set()
    for one in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            found.add(tuple(sorted(os.sched_getaffinity(int(one.name)))))
    return found
