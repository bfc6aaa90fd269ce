"""A completely full disk: the service continues, the relay frees space, no accepted event is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.relay.helpers import drain, emitter, event, numbers, running_relay, wait_for


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small file system can't be mounted here: {done.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_no_accepted_event_is_lost_on_a_full_disk(small_disk: Path, kafka: str, new_topic: Callable[..., str]) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    new_topic(f"{prefix}instance-actions", partitions=3)
    new_topic(f"{prefix}instance-action-producers", partitions=1)
    outbox = small_disk / "outbox"
    with running_relay(outbox, kafka, prefix) as relay:  # it ran before, so its files exist
        wait_for(lambda: "Delivering the outboxes" in relay.text())
    sender = emitter(outbox, min_free=0, max_bytes=16 << 20)  # segments of 4 MiB
    large_event = {"phase": "ERROR", "failure": {"exception": "X", "traceback": os.urandom(4000).hex()}}
    accepted = {n for n in range(1500) if sender.emit(event(n, **large_event))}
    assert 0 < len(accepted) < 1000
    assert sender.totals.refused == 1500 - len(accepted)
    (small_disk / "filler").write_bytes(b"")
    with (small_disk / "filler").open("ab", buffering=0) as filler:  # until no block is free
        try:
            while filler.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    assert os.statvfs(small_disk).f_bavail == 0
    with running_relay(outbox, kafka, prefix) as relay:
        drain(kafka, f"{prefix}instance-actions", lambda messages: set(numbers(messages)) >= accepted)

        def emit_succeeds() -> bool:
            number = 10_000 + sender.totals.accepted
            if sender.emit(event(number)):
                accepted.add(number)
                return True
            return False

        wait_for(emit_succeeds)
        drain(kafka, f"{prefix}instance-actions", lambda messages: set(numbers(messages)) == accepted)
        assert relay.kill(signal.SIGTERM) == 0
