"""Hostile processes on a host: ``python -m tests.chaos.hostile (user | service) OUTBOX HOST``, until killed.

`user` is a local user without any right in the outbox (the process gives up root's rights). It puts folders into
/dev/shm, where the directories of durability `memory` are: forged events, segments of noise, FIFOs, symbolic links.
`service` is a compromised service of the host: it writes to the outbox as Nova does, but its events claim another host.
Nothing of both may reach the store, and the relay must neither stop nor delay the events of others.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from stumble.emitter import Emitter
from stumble.outbox.folders import ABOUT, COUNTERS, LOCK, memory_root, segment_path
from stumble.outbox.record import Envelope, pack_record, segment_header
from stumble.wire.codec import encode_record
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import EVENT

#: A user that no service of the host has.
LOCAL_USER = 31337
#: The host that forged events claim; no relay of the run has this name.
VICTIM = "victim-of-forgery"
FOLDERS = 200
_PAUSE = 0.5
_NOISE_BYTES = 100_000


def forged_event(host: str) -> dict[str, Any]:
    """Return the failed end of a request on another host."""
    now = time.time_ns() // 1000
    return {
        "event_id": new_event_id(),
        "occurred_at": now,
        "emitted_at": now,
        "phase": "ERROR",
        "scope": "REQUEST",
        "action": "delete",
        "instance_uuid": str(uuid.uuid4()),
        "request_id": f"req-{uuid.uuid4()}",
        "service": "nova-compute",
        "host": host,
        "source": {"kind": "LIBRARY", "signal": "request", "publisher": f"nova-compute:{host}"},
    }


def shared_memory_of_local_user(outbox: Path) -> Path:
    """Return the directory in which the local user puts folders for the relay of an outbox."""
    return Path(memory_root(str(outbox), LOCAL_USER))


def _put_folder(parent: Path, number: int) -> None:
    """Put one folder there; its kind follows from its number."""
    folder = parent / f"nova-compute-{number}-aa"
    folder.mkdir(parents=True, exist_ok=True)
    segment = Path(segment_path(str(folder), 1))
    match number % 5:
        case 0:
            event = forged_event(VICTIM)
            envelope = Envelope(
                EVENT.fingerprint, event["occurred_at"], uuid.UUID(event["event_id"]).bytes,
                event["instance_uuid"].encode(), event["source"]["publisher"].encode(), b"", True,
            )  # fmt: skip
            segment.write_bytes(segment_header() + pack_record(envelope, encode_record(EVENT, event)))
            now = time.time_ns() // 1000
            about = {"host": VICTIM, "service": "nova-compute", "started_at": now, "ready_at": now}
            (folder / ABOUT).write_text(json.dumps(about))
        case 1:
            segment.write_bytes(segment_header() + os.urandom(_NOISE_BYTES))
            (folder / ABOUT).write_text("[" * 100_000)
        case 2:
            for name in (segment.name, ABOUT, COUNTERS, LOCK):
                with suppress(FileExistsError):
                    os.mkfifo(folder / name)
        case 3:
            for name, target in ((segment.name, "/etc/passwd"), (ABOUT, "/dev/zero"), (LOCK, "/etc/hostname")):
                with suppress(FileExistsError):
                    (folder / name).symlink_to(target)
        case _:
            segment.write_bytes(segment_header())
            (folder / ABOUT).write_text('{"host": "x", "started_at": ' + "9" * 400 + "}")


def attack_as_local_user(outbox: Path) -> Iterator[None]:
    """Put folders into /dev/shm, ten in each step; at most FOLDERS at a time."""
    encode_record(EVENT, forged_event(VICTIM))  # loads what can't be read as another user
    os.setgroups([])
    os.setgid(LOCAL_USER)
    os.setuid(LOCAL_USER)
    os.umask(0)
    parent = shared_memory_of_local_user(outbox)
    for number in count():
        with suppress(OSError):
            parent.mkdir(exist_ok=True)
            _put_folder(parent, number % FOLDERS)
        if number % 10 == 9:
            yield


def attack_as_service(outbox: Path, host: str) -> Iterator[None]:
    """Emit an event of another host in each step, from two processes: one says its own host, one the other."""
    emitters = [Emitter(outbox, service="nova-compute", host=claimed) for claimed in (host, VICTIM)]
    while True:
        for emitter in emitters:
            emitter.emit(forged_event(VICTIM))
        yield


def main(attacker: str, outbox: Path, host: str) -> None:
    parent = os.getppid()
    for _ in attack_as_local_user(outbox) if attacker == "user" else attack_as_service(outbox, host):
        if os.getppid() != parent:  # a change of the user removes the signal that the kernel sends then
            return
        time.sleep(_PAUSE)


def remove_folders_of_local_user(outbox: Path) -> None:
    """Remove what the local user put into /dev/shm."""
    shutil.rmtree(shared_memory_of_local_user(outbox), ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
