"""Green and native threads in one process, and forks of it, as in Nova's services."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stumble.outbox.folders import is_live, outbox_folders
from tests.unit.emitter.test_emitter import events

GREEN = """
import eventlet, sys
from stumble.emitter import Emitter  # loaded before the patch, as a driver may be
eventlet.monkey_patch()
import os
from eventlet import tpool
emitter = Emitter(sys.argv[1], service="svc", host="h", max_bytes=4 << 20, min_free=0)
def work(name):
    for n in range(100):
        assert emitter.emit({"phase": "START", "attributes": {"n": f"{name}-{n}", "fill": "x" * 2000}})
        if n % 7 == 0:
            eventlet.sleep(0)
def native(name, count=100):
    for n in range(count):
        assert emitter.emit({"phase": "START", "attributes": {"n": f"{name}-{n}", "fill": "x" * 2000}})
green = [eventlet.spawn(work, f"green{n}") for n in range(5)]
busy = [eventlet.spawn(tpool.execute, native, f"native{n}") for n in range(3)]
eventlet.sleep(0.01)
child = os.fork()
if child == 0:  # it must not enter the hub, whose sockets it shares with its parent
    native("child", 50)
    os._exit(0)
[thread.wait() for thread in green + busy]
assert os.waitpid(child, 0)[1] == 0
assert emitter.totals.refused == 0, emitter.totals
"""

FORKS = """
import os, sys, threading
from stumble.emitter import Emitter
emitter = Emitter(sys.argv[1], service="svc", host="h", max_bytes=8 << 20, min_free=0)
def work(name, count):
    for n in range(count):
        assert emitter.emit({"phase": "START", "attributes": {"n": f"{name}-{n}", "fill": "x" * 2000}})
threads = [threading.Thread(target=work, args=(f"thread{n}", 150)) for n in range(4)]
[thread.start() for thread in threads]
children = []
for number in range(6):  # each fork happens while the threads are emitting
    child = os.fork()
    if child == 0:
        work(f"child{number}", 30)
        os._exit(0)
    children.append(child)
[thread.join() for thread in threads]
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


def _run(script: str, outbox: Path) -> list[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(outbox)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not any(is_live(folder) for folder in outbox_folders(str(outbox)))
    return [event["attributes"]["n"] for event in events(outbox)]


@pytest.mark.skipif(importlib.util.find_spec("eventlet") is None, reason="eventlet isn't installed")
def test_no_event_is_lost_with_green_and_native_threads_and_a_fork(tmp_path: Path) -> None:
    emitted = _run(GREEN, tmp_path)
    expected = {
        f"{kind}{n}-{i}" for kind, count in (("green", 5), ("native", 3)) for n in range(count) for i in range(100)
    }
    assert set(emitted) == expected | {f"child-{i}" for i in range(50)}


def test_no_event_is_lost_in_forks_of_emitting_threads(tmp_path: Path) -> None:
    emitted = _run(FORKS, tmp_path)
    expected = {f"thread{n}-{i}" for n in range(4) for i in range(150)}
    assert set(emitted) == expected | {f"child{n}-{i}" for n in range(6) for i in range(30)}
