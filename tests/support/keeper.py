"""Keep one server running for a test run: ``keeper.py kafka|postgres FOLDER OWNER_PID``.

It starts the server, writes its address to FOLDER/address, and stops it when it's asked to (SIGTERM) or when
the process OWNER_PID (pytest's own) is gone, however that ended.
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
    asked, told = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(told, b"x"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched = os.pidfd_open(owner)
    server: LocalKafka | LocalPostgres
    if kind == "kafka":
        server = LocalKafka(folder, quick=True)
    else:
        server = LocalPostgres(folder, fsync=False, options={"max_connections": "300"})
    try:
        write(folder / "address", server.start())
        select.select([asked, watched], [], [])
    except LocalError as error:
        print(error, file=sys.stderr)  # the log that the waiting test shows
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
