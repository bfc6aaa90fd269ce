"""Room for more: the bound in bytes over all folders of the host, and the free space of the file system.

Looking at every folder costs some 10 µs a folder, so a writer does it now and then: after it appended its share of
the room that was left, or after ten seconds (thirty while less than half is used). Shares are cut so that all writers
together can't exceed the bound by much.
"""

from __future__ import annotations

import os

from stumble.outbox.folders import usage

NOTHING, FAILURES_ONLY, EVERYTHING = 0, 1, 2

SEGMENT_BYTES = 8 << 20
_SMALLEST_SEGMENT = 256 << 10
_SMALLEST_SHARE = 64 << 10
_FOR_FAILURES = 0.1  # this part of the bound, and as much again of the free space below which nothing is written
_LOOK_S = 10.0
_LOOK_HALF_EMPTY_S = 30.0
_LOOK_AGAIN_S = 1.0


class Guard:
    """What one process knows of the room that is left. Statistics only: several threads may use it at once."""

    def __init__(self, directory: str, root: str, max_bytes: int, min_free: float) -> None:
        self._directory = directory
        self._root = root
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._look_at = 0.0
        self._share = 0
        self.level = EVERYTHING
        self.reason = ""
        self.segment_bytes = SEGMENT_BYTES

    def spent(self, size: int) -> None:
        """Take note of bytes that were appended."""
        self._share -= size

    def due(self, now: float) -> bool:
        """Tell whether it is time to look at all folders again."""
        return self._share <= 0 or now >= self._look_at

    def check(self, now: float) -> None:
        """Look at all folders and at the file system. ``now``: monotonic seconds."""
        used, folders = usage(self._directory)
        writers = max(folders, 1)
        self._set(self._max_bytes * (1 - _FOR_FAILURES) - used, self._max_bytes - used, "the outbox is full")
        self._share = max(_SMALLEST_SHARE, int((self._max_bytes - used) / (2 * writers)))
        calm = _LOOK_HALF_EMPTY_S if used * 2 < self._max_bytes else _LOOK_S
        self._look_at = now + (calm if self.level == EVERYTHING else _LOOK_AGAIN_S)
        if self.level < EVERYTHING:  # by time, not by share: what is refused spends nothing
            self._share = max(self._share, _SMALLEST_SHARE)
        # What lies in segments that are still written to can't be unlinked: all of them stay below a quarter.
        self.segment_bytes = min(SEGMENT_BYTES, max(_SMALLEST_SEGMENT, self._max_bytes // (4 * writers)))
        if self.level > NOTHING:
            self.look_at_disk(now)

    def look_at_disk(self, now: float) -> None:
        """Look at the free space alone, which others can eat up, and give back, within seconds."""
        status = os.statvfs(self._root)
        if not status.f_blocks or not self._min_free:
            return
        free = status.f_bavail / status.f_blocks
        if free < self._min_free * (1 + _FOR_FAILURES):
            self._set(-1, free - self._min_free, "the file system is short of space")
            self._look_at = min(self._look_at, now + _LOOK_AGAIN_S)

    def _set(self, room: float, room_for_failures: float, reason: str) -> None:
        if room > 0:
            self.level = EVERYTHING
        else:
            self.level = FAILURES_ONLY if room_for_failures > 0 else NOTHING
            self.reason = reason
