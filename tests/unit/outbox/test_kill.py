"""kill -9 at any time: each accepted record is stored."""

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


@pytest.mark.parametrize(
    ("threads", "durability"),
    [
        (1, "process"),
        pytest.param(4, "process", marks=pytest.mark.slow),
        pytest.param(1, "power", marks=pytest.mark.slow),
    ],
)
def test_accepted_records_survive_kill_9(tmp_path: Path, threads: int, durability: str) -> None:
    rng = random.Random(threads)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for run in range(4):
        outbox, accepted_log = tmp_path / str(run), tmp_path / f"{run}.accepted"
        with accepted_log.open("wb") as file:
            command = [sys.executable, "-c", SCRIPT, str(outbox), str(threads), durability]
            process = subprocess.Popen(command, stdout=file, env=env)
        deadline = time.monotonic() + 90
        while not accepted_log.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.3)
        alive = [is_live(folder) for folder in outbox_folders(str(outbox))]
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert True in alive
        stored = set()
        for folder in outbox_folders(str(outbox)):
            assert not is_live(folder)
            records, damages, _ = read_all(Path(folder.path), live=False, max_bytes=64 << 10)
            assert not damages
            stored |= {record.body.rstrip(b".") for record in records}
        accepted = set(accepted_log.read_bytes().rpartition(b"\n")[0].split(b"\n"))
        assert accepted
        assert accepted <= stored
