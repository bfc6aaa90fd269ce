"""Limits of the outbox: bytes in all folders of the host, and free space of the file system.

Reading the sizes costs about 10 µs per folder, so a writer does it only after it has appended its share of the
remaining bytes, or after ten seconds (thirty while less than half of the limit is used). Shares are so small that all
writers together exceed the limit by little.
"""

from __future__ import annotations

import os

from stumble.outbox.folders import outbox_usage

NOTHING, FAILURES_ONLY, EVERYTHING = 0, 1, 2

SEGMENT_BYTES = 8 << 20
_SMALLEST_SEGMENT = 256 << 10
_SMALLEST_SHARE = 64 << 10
_FOR_FAILURES = 0.1  # reserved for failures: this part of the byte limit, and of ``min_free`` above it
_CHECK_S = 10.0
_CHECK_HALF_EMPTY_S = 30.0
_CHECK_FULL_S = 1.0


class Guard:
    """A process's estimate of the remaining space. Several threads may use it: lost updates are harmless."""

    def __init__(self, directory: str, root: str, max_bytes: int, min_free: float) -> None:
        self._directory = directory
        self._root = root
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._check_at = 0.0
        self._share = 0
        self.level = EVERYTHING
        self.reason = ""
        self.segment_bytes = SEGMENT_BYTES

    def spent(self, size: int) -> None:
        """Count appended bytes."""
        self._share -= size

    def due(self, now: float) -> bool:
        """Return whether ``check`` is due."""
        return self._share <= 0 or now >= self._check_at

    def check(self, now: float) -> None:
        """Read the sizes of all folders and the free space, and set the level. ``now``: monotonic seconds."""
        used, folders = outbox_usage(self._directory)
        writers = max(folders, 1)
        self._set(self._max_bytes * (1 - _FOR_FAILURES) - used, self._max_bytes - used, "the outbox is full")
        self._share = max(_SMALLEST_SHARE, int((self._max_bytes - used) / (2 * writers)))
        interval = _CHECK_HALF_EMPTY_S if used * 2 < self._max_bytes else _CHECK_S
        self._check_at = now + (interval if self.level == EVERYTHING else _CHECK_FULL_S)
        if self.level < EVERYTHING:  # check by time, not by share, since refused events use no bytes
            self._share = max(self._share, _SMALLEST_SHARE)
        # Segments still being written cannot be unlinked, so all of them together stay below a quarter of the limit.
        self.segment_bytes = min(SEGMENT_BYTES, max(_SMALLEST_SEGMENT, self._max_bytes // (4 * writers)))
        if self.level > NOTHING:
            self.check_disk(now)

    def check_disk(self, now: float) -> None:
        """Check only the free space, which other programs can use and release within seconds."""
        status = os.statvfs(self._root)
        if not status.f_blocks or not self._min_free:
            return
        free = status.f_bavail / status.f_blocks
        if free < self._min_free * (1 + _FOR_FAILURES):
            self._set(-1, free - self._min_free, "the file system is short of space")
            self._check_at = min(self._check_at, now + _CHECK_FULL_S)

    def _set(self, space: float, space_for_failures: float, reason: str) -> None:
        if space > 0:
            self.level = EVERYTHING
        else:
            self.level = FAILURES_ONLY if space_for_failures > 0 else NOTHING
            self.reason = reason
