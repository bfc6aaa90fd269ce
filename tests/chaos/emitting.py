"""An emitting process: ``python -m tests.chaos.emitting FOLDER OUTBOX HOST BEGAN``.

It tells the stream of FOLDER/plan.json at its times (BEGAN: the wall's seconds at which the stream began) and keeps a
journal: one record an emit, written after it. Killed and started again it goes on a little before where it was, so
that some events come twice. A refused event is not tried again: a service would not, either.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from stumble.emitter import Emitter
from tests.chaos.fleet import Plan, tell

#: Position in the stream, whether the event was accepted.
ENTRY = struct.Struct("<I?")
OVERLAP = 20
JOURNAL = "journal"
PLAN = "plan.json"


def journal(folder: Path) -> Iterator[tuple[int, bool]]:
    """Yield what a journal says: position and whether that try was accepted."""
    try:
        data = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        return
    for at in range(0, len(data) - ENTRY.size + 1, ENTRY.size):
        yield ENTRY.unpack_from(data, at)


def main(folder: Path, outbox: Path, host: str, began: float) -> None:
    done = max((number for number, _ in journal(folder)), default=-1)
    emitter = Emitter(outbox, service="nova-compute", host=host, cell="cell1")
    with (folder / JOURNAL).open("ab", buffering=0) as file:
        for number, told in enumerate(tell(Plan.load(folder / PLAN))):
            if number <= done - OVERLAP:
                continue
            wait = began + told.at - time.time()
            if wait > 0:
                time.sleep(wait)
            file.write(ENTRY.pack(number, emitter.emit(told.event)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
