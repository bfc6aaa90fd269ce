"""Appends events to an outbox.

The writer never raises into its caller, never blocks it, starts no thread, holds no lock and uses neither fork hooks
nor ``atexit``; it refuses and counts events that it cannot store, and logs that once. Nothing exists on disk before the
first event. After a fork, the child sees by its process id that the folder belongs to its parent, and creates one.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

from stumble.outbox import counters, folders
from stumble.outbox.guard import EVERYTHING, NOTHING, Guard
from stumble.outbox.lock import Descriptor
from stumble.outbox.record import FORMAT_VERSION
from stumble.outbox.segment import Segment

LOG = logging.getLogger("stumble.outbox")

DURABILITIES = ("process", "power", "memory")
DEFAULT_MAX_BYTES = 256 << 20
DEFAULT_MIN_FREE = 0.05
_REOPEN_S = 5.0
_CHECK_S = 1.0
_LOG_INTERVAL_S = 60.0


class _Open:
    """The folder of this process."""

    def __init__(self, path: str, lock: Descriptor, totals: Descriptor, *, synced: bool) -> None:
        self.path = path
        self.lock = lock
        self.totals = totals
        self.segment = Segment(path, 1, synced=synced)

    def is_sound(self) -> bool:
        return self.segment.newest().is_sound() and self.lock.is_sound()


class _Process:
    """State of one process id; a forked child starts with a new state."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.started_at = time_ns() // 1000
        self.opened: _Open | None = None
        self.open_at = 0.0
        self.check_at = 0.0
        self.totals = counters.Totals()
        self.problem = ""
        self.log_again_at = 0.0


class OutboxWriter:
    """Appends records to this process's folder below ``directory``.

    ``durability``: ``process`` (accepted events survive a crash of the process), ``power`` (also a power failure: each
    append waits for the disk) or ``memory`` (in /dev/shm: no disk delays an append, a reboot loses the events).
    ``max_bytes`` limits all segments of the host; nothing is written below ``min_free`` (0 to 1) of free space.
    ``about`` describes the producer; ``schemas`` are texts that a reader of another release needs, by file name.
    Raises ``ValueError`` for an unknown durability.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        durability: str = "process",
        max_bytes: int = DEFAULT_MAX_BYTES,
        min_free: float = DEFAULT_MIN_FREE,
        service: str = "service",
        about: Mapping[str, Any] | None = None,
        schemas: Mapping[str, str] | None = None,
    ) -> None:
        if durability not in DURABILITIES:
            raise ValueError(f"durability is {durability!r}; it must be one of {', '.join(DURABILITIES)}")
        self.directory = str(directory)
        self._durability = durability
        self._bounds = (max_bytes, min_free)
        self._service = service
        self._about = {"format": FORMAT_VERSION, "service": service, "durability": durability, **(about or {})}
        self._schemas = dict(schemas or {})
        self._processes: dict[int, _Process] = {}

    def append(self, record: bytes, *, is_failure: bool) -> bool:
        """Append one packed record; return False if it was refused. Failures are refused last."""
        process = self._process()
        try:
            opened = self._folder_with_space(process, is_failure=is_failure)
            if opened is None:
                return self._refuse(process, is_failure=is_failure)
            self._write(opened, process.guard, record)
        except OSError as error:
            self._note(process, f"it cannot be written to: {error.strerror or error}")
            return self._refuse(process, is_failure=is_failure)
        process.totals.accepted += 1
        if process.problem and process.guard.level == EVERYTHING:
            self._recovered(process)
        return True

    def invalid(self) -> None:
        """Count an event that could not be encoded."""
        process = self._process()
        process.totals.invalid += 1
        self._save(process)

    def describe(self, **about: Any) -> None:
        """Change the description of this producer (``tap="on"``); rewrites ``about.json`` of this process's folder."""
        self._about.update(about)
        process = self._process()
        if process.opened is not None:
            with suppress(OSError):
                counters.write_about(process.opened.path, self._description(process))

    def announce(self, **about: Any) -> None:
        """Like ``describe``, but creates this process's folder if it does not exist. Never raises."""
        process = self._process()
        if process.opened is None and monotonic() >= process.open_at:
            try:
                self._open(process, monotonic())
            except OSError as error:
                self._note(process, f"it cannot be written to: {error.strerror or error}")
        self.describe(**about)

    @property
    def totals(self) -> counters.Totals:
        """Counts of this process's events."""
        return self._process().totals

    @property
    def path(self) -> str | None:
        """Folder of this process, None until it is created."""
        opened = self._process().opened
        return opened.path if opened else None

    def _process(self) -> _Process:
        pid = os.getpid()
        result = self._processes.get(pid)
        if result is None:
            result = self._processes.setdefault(pid, _Process(Guard(self.directory, self._root(), *self._bounds)))
            for other in [other for other in self._processes if other != pid]:
                self._processes.pop(other, None)  # the parent's: this closes the child's copies of its files
        return result

    def _root(self) -> str:
        in_memory = self._durability == "memory"
        return folders.memory_root(self.directory, os.geteuid()) if in_memory else self.directory

    def _folder_with_space(self, process: _Process, *, is_failure: bool) -> _Open | None:
        """Return this process's folder if it may store one more event, else None."""
        now = monotonic()
        opened = process.opened
        if now >= process.check_at:
            process.check_at = now + _CHECK_S
            if opened is not None:
                opened = self._check(process, opened, now)
        if opened is None:
            if now < process.open_at:
                return None
            opened = self._open(process, now)
        guard = process.guard
        if guard.due(now):
            guard.check(now)
        if guard.level == EVERYTHING or (guard.level > NOTHING and is_failure):
            return opened
        self._note(process, guard.reason)
        return None

    def _check(self, process: _Process, opened: _Open, now: float) -> _Open | None:
        """Once per second: check that the folder exists and the file system has space, and save the totals."""
        if not opened.is_sound():
            LOG.warning("The outbox folder %s was removed while in use; creating a new one.", opened.path)
            process.opened = None
            return None
        counters.save_totals(opened.totals, process.totals)
        process.guard.check_disk(now)
        return opened

    def _open(self, process: _Process, now: float) -> _Open:
        """Create this process's folder; a failure delays the next attempt by 5 s. Raises ``OSError``."""
        try:
            opened = self._create()
        except OSError:
            process.open_at = now + _REOPEN_S
            raise
        if process.opened is not None:  # another thread was faster
            shutil.rmtree(opened.path, ignore_errors=True)
            return process.opened
        process.opened = opened
        return opened

    def _create(self) -> _Open:
        in_memory, synced = self._durability == "memory", self._durability == "power"
        created = folders.create(self.directory, self._service, self._fill, in_memory=in_memory, synced=synced)
        return _Open(*created, synced=synced)

    def _fill(self, path: str) -> Descriptor:
        totals = counters.create_counters(path)
        counters.write_about(path, self._description(self._process()))
        for name, text in self._schemas.items():
            counters.write_text(f"{path}/{name}", text)
        return totals

    def _description(self, process: _Process) -> dict[str, Any]:
        return {**self._about, "pid": os.getpid(), "started_at": process.started_at}

    def _write(self, opened: _Open, guard: Guard, record: bytes) -> None:
        """Append to the newest segment; repeat if another thread started a newer one meanwhile (see ``segment``)."""
        segment = opened.segment.newest()
        if segment.size >= guard.segment_bytes:
            segment = segment.roll().newest()
        retried = False
        while True:
            whole = _write_once(segment, record)
            if not whole:  # the written part becomes a torn tail, which every reader cuts
                if retried:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                retried = True
                segment.roll()
            newest = segment.newest()
            if newest is segment:
                break
            segment = newest
        opened.segment = segment
        guard.spent(len(record))

    def _refuse(self, process: _Process, *, is_failure: bool) -> bool:
        process.totals.refused += 1
        if is_failure:
            process.totals.refused_failures += 1
        self._save(process)
        return False

    def _save(self, process: _Process) -> None:
        if process.opened is not None:
            counters.save_totals(process.opened.totals, process.totals)

    def _note(self, process: _Process, problem: str) -> None:
        now = monotonic()
        if process.problem != problem and now >= process.log_again_at:
            process.problem = problem
            process.log_again_at = now + _LOG_INTERVAL_S
            LOG.warning("The outbox %s refuses events: %s.", self.directory, problem)

    def _recovered(self, process: _Process) -> None:
        process.problem = ""
        LOG.warning("The outbox %s accepts events again; %d were refused.", self.directory, process.totals.refused)


def _write_once(segment: Segment, record: bytes) -> bool:
    """Append; return False if only a part was written, or the file has reached its size limit."""
    try:
        return segment.write(record)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        return False
