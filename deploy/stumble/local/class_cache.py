"""Quick starts for Kafka: the JDK's AOT cache (JEP 514), which holds the classes of 45 jars loaded and linked.

Measured on two cores: a start costs 2.9 s of CPU without and 1.0 s with it. Java writes the cache when a run ends,
which costs 6 s of CPU once and 65 MB on disk. So the first clean run of a Kafka only leaves a mark, the second writes
the cache, and each run after it uses the cache. Java itself ignores a cache that does not fit its jars or options.
Java runs what the cache contains, so a cache is used only if no other user can have written it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ClassCache"]

_UNUSED_SECONDS = 14 * 86_400
#: Java warns of classes that it leaves out of the cache.
_LOG_OPTION = "-Xlog:aot*=off"


class ClassCache:
    """The AOT cache in `folder` for one Java `program`, these `jars` and these `options`."""

    #: Seconds that Java may take to stop while it writes the cache.
    STOP_SECONDS = 90.0

    def __init__(self, folder: Path, program: Path, jars: Sequence[Path], options: Sequence[str]) -> None:
        key = hashlib.sha256(repr([program, program.stat().st_mtime_ns, options]).encode())
        for jar in jars:
            key.update(f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}\n".encode())
        name = f"classes-{key.hexdigest()[:16]}"
        self._cache, self._mark = folder / f"{name}.aot", folder / f"{name}.used"
        self._new_cache = folder / f"{name}.aot.{uuid.uuid4().hex[:8]}"
        self.writes_cache = self._mark.exists() and not _written_by_this_user_only(self._cache)

    def java_options(self) -> list[str]:
        """Return what to start Java with this time: to use the cache, to write it, or neither."""
        if self.writes_cache:
            return [f"-XX:AOTCacheOutput={self._new_cache}", _LOG_OPTION]
        if not _written_by_this_user_only(self._cache):
            return []
        os.utime(self._cache)
        return [f"-XX:AOTCache={self._cache}", _LOG_OPTION]

    def finish(self, *, clean: bool) -> None:
        """Keep what this run wrote, if `clean`: Java ended by itself, so the cache is complete."""
        if clean and self._new_cache.exists():
            self._new_cache.chmod(0o600)
            self._new_cache.replace(self._cache)
            _remove_unused(self._cache.parent)
        elif clean:
            self._mark.touch()
        self._new_cache.unlink(missing_ok=True)


def _written_by_this_user_only(path: Path) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _remove_unused(folder: Path) -> None:
    """Remove what no run has used for two weeks."""
    for path in folder.glob("classes-*"):
        with contextlib.suppress(FileNotFoundError):  # another local stack may have replaced or removed it
            if time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
                path.unlink()
