"""``python -m tests.support.wrong_clock SECONDS COMMAND…``: run a command of stumble on a host whose clock is wrong.

Only Python's wall clock is changed: with libfaketime, librdkafka's own comparisons of times would fail.
"""

from __future__ import annotations

import sys
import time


def shift_wall_clock(seconds: int) -> None:
    """Add seconds to the wall clock of this process."""
    real_time, real_time_ns = time.time, time.time_ns
    time.time = lambda: real_time() + seconds
    time.time_ns = lambda: real_time_ns() + seconds * 1_000_000_000


if __name__ == "__main__":
    shift_wall_clock(int(sys.argv[1]))
    sys.argv = ["stumble", *sys.argv[2:]]
    from stumble.cli import main

    main()
