"""Run one server for a test run: ``keeper.py kafka|postgres FOLDER OWNER_PID``.

It starts the server, writes its address to FOLDER/address, and stops it on SIGTERM or when the process
OWNER_PID (pytest's own) has ended for any reason.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from pathlib import Path

from stumble.local.errors import LocalError
from stumble.local.kafka import LocalKafka
from stumble.local.postgres import LocalPostgres


def main(kind: str, folder: Path, owner: int) -> None:
    stop_read, stop_write = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(stop_write, b"x"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    owner_fd = os.pidfd_open(owner)
    server: LocalKafka | LocalPostgres
    if kind == "kafka":
        server = LocalKafka(folder, quick=True)
    else:
        server = LocalPostgres(folder, fsync=False, options={"max_connections": "300"})
    try:
        write(folder / "address", server.start())
        select.select([stop_read, owner_fd], [], [])
    except LocalError as error:
        print(error, file=sys.stderr)  # the log that the waiting test shows
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, text: str) -> None:
    new_file = path.with_suffix(".new")
    new_file.write_text(text)
    new_file.replace(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
