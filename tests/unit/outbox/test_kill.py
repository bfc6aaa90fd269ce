"""kill -9 at any moment: whatever was accepted is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stumble.outbox.folders import is_live, outbox_folders
from tests.unit.outbox.helpers import read_all

SCRIPT = """
import os, sys, threading
from stumble.outbox import OutboxWriter
from tests.unit.outbox.helpers import packed
outbox = OutboxWriter(sys.argv[1], max_bytes=8 << 20, durability=sys.argv[3])
def work(name):
    n = 0
    while True:
        if outbox.append(packed(b"%d:%d" % (name, n) + b"." * 700), is_failure=False):
            os.write(1, b"%d:%d\\n" % (name, n))
        n += 1
threads = [threading.Thread(target=work, args=(n,)) for n in range(int(sys.argv[2]))]
[thread.start() for thread in threads]
"""


@pytest.mark.parametrize(("threads", "durability"), [(1, "process"), (4, "process"), (1, "power")])
def test_what_was_accepted_survives(tmp_path: Path, threads: int, durability: str) -> None:
    chance = random.Random(threads)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for run in range(4):
        outbox, told = tmp_path / str(run), tmp_path / f"{run}.told"
        with told.open("wb") as file:
            command = [sys.executable, "-c", SCRIPT, str(outbox), str(threads), durability]
            process = subprocess.Popen(command, stdout=file, env=env)
        deadline = time.monotonic() + 90
        while not told.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        alive = [is_live(place) for place in outbox_folders(str(outbox))]
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert True in alive
        found = set()
        for place in outbox_folders(str(outbox)):
            assert not is_live(place)
            records, damages, _ = read_all(Path(place.path), live=False, max_bytes=64 << 10)
            assert not damages
            found |= {record.body.rstrip(b".") for record in records}
        accepted = set(told.read_bytes().rpartition(b"\n")[0].split(b"\n"))
        assert accepted
        assert accepted <= found
