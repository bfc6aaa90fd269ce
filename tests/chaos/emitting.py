"""An emitting process: ``python -m tests.chaos.emitting FOLDER OUTBOX HOST BEGAN``.

It emits the stream of FOLDER/plan.json at its times and writes a journal: one record per emit, after it. BEGAN is the
monotonic time in seconds at which the stream began, which a wrong wall clock does not change. After a kill and a
restart it continues a little earlier, so that some events are emitted twice. A refused event is not tried again, as in
a real service.
"""

from __future__ import annotations

import select
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from stumble.emitter import Emitter
from tests.chaos.fleet import Plan, planned_events

#: Position in the stream, whether the event was accepted.
ENTRY = struct.Struct("<I?")
OVERLAP = 20
JOURNAL = "journal"
PLAN = "plan.json"


def journal(folder: Path) -> Iterator[tuple[int, bool]]:
    """Yield the entries of a journal: position in the stream, and whether the event was accepted."""
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
        for number, planned in enumerate(planned_events(Plan.load(folder / PLAN))):
            if number <= done - OVERLAP:
                continue
            wait = began + planned.at - time.monotonic()
            if wait > 0:
                select.select([], [], [], wait)  # libfaketime breaks time.sleep, which waits for an absolute time
            file.write(ENTRY.pack(number, emitter.emit(planned.event)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
