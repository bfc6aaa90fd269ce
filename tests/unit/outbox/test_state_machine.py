"""Compares an outbox with a model: append, kill, torn writes, damage, a full disk and reads, in any order.

Each accepted record that the test did not damage is read once, in order; damaged records are read as damage.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stumble.outbox import OutboxCursor, OutboxReader, OutboxWriter, guard
from stumble.outbox import segment as segment_module
from stumble.outbox.folders import segment_numbers, segment_path
from stumble.outbox.record import MARK, RECORD_HEADER
from tests.unit.outbox.helpers import packed


class _FullDisk:
    """Stands in for ``os`` in the segment module: writes a part of the next record, then raises ENOSPC."""

    def __init__(self, written: int) -> None:
        self.written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        if not self.written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written, self.written = os.write(fd, data[: min(self.written, len(data) - 1)]), 0
        return written


class OutboxMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(guard, "SEGMENT_BYTES", 10_000)  # so that a few appends begin a new segment
        self.root = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.folders: dict[str, list[bytes]] = {}  # accepted bodies in order
        self.records_read: dict[str, list[bytes]] = {}
        self.cursors: dict[str, OutboxCursor] = {}
        self.damages: dict[str, int] = {}
        self.damaged: dict[str, set[bytes]] = {}
        self.alive: dict[str, bool] = {}
        self.torn: set[str] = set()  # folders whose newest segment ends in a partial record
        self.count = 0
        self.writer = OutboxWriter(self.root, max_bytes=256 << 20, min_free=0)

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.root, ignore_errors=True)

    def _body(self, size: int) -> bytes:
        self.count += 1
        # A record marker inside a body must not confuse a reader; a body can't contain a whole record.
        marker = RECORD_HEADER.pack(MARK, 40, 12345) + b"x" * 40
        return b"%08d" % self.count + (marker + b"\0" * size)[:size]

    def _accepted(self, body: bytes) -> None:
        path = self.writer.path
        assert path is not None
        self.folders.setdefault(path, []).append(body)
        self.alive[path] = True
        self.torn.discard(path)

    @rule(size=st.integers(0, 3000), is_failure=st.booleans())
    def append(self, size: int, is_failure: bool) -> None:
        body = self._body(size)
        assert self.writer.append(packed(body), is_failure=is_failure)
        self._accepted(body)

    @rule(count=st.integers(2, 30))
    def append_many(self, count: int) -> None:
        for _ in range(count):
            self.append(1000, False)

    @precondition(lambda self: self.writer.path)
    @rule(written=st.integers(0, 60))
    def disk_is_full(self, written: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segment_module, "os", _FullDisk(written))
            assert not self.writer.append(packed(self._body(100)), is_failure=True)
        self.torn.add(str(self.writer.path))

    @precondition(lambda self: self.writer.path)
    @rule(data=st.data())
    def kill_process(self, data: st.DataObject) -> None:
        """Kill the process, perhaps during a write that was not acknowledged."""
        path = self.writer.path
        assert path is not None
        number = segment_numbers(path)[-1]
        self.writer = OutboxWriter(self.root, max_bytes=256 << 20, min_free=0)
        self.alive[path] = False
        if path in self.torn:  # the next record would begin a new segment
            return
        file = Path(segment_path(path, number))
        record = packed(b"never acknowledged" * 20)
        cut = data.draw(st.integers(0, len(record) - 1))
        if file.exists():
            tail = data.draw(st.sampled_from([record[:cut], b"\0" * cut]))
            with file.open("ab") as open_file:
                open_file.write(tail)

    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        """Flip a bit of an unread record that is followed by a sound one in its segment."""
        choices = []
        for path in self.folders:
            reader, cursor = OutboxReader(path), self.cursors.get(path, OutboxCursor())
            while (chunk := reader.read(cursor, live=True)).end != cursor:
                choices += [(path, chunk.start.segment, record) for record in chunk.records[:-1]]
                cursor = chunk.end
            reader.close()
        if not choices:
            return
        path, number, record = choices[data.draw(st.integers(0, len(choices) - 1))]
        if path in self.torn:  # the next record begins a new segment
            return
        position = record.offset + data.draw(st.integers(0, record.size - 1))
        file = Path(segment_path(path, number))
        content = bytearray(file.read_bytes())
        content[position] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(content)
        self.damaged.setdefault(path, set()).add(record.body)

    @rule(data=st.data(), max_bytes=st.sampled_from([64, 700, 5000, 1 << 20]))
    def read(self, data: st.DataObject, max_bytes: int) -> None:
        if not self.folders:
            return
        path = list(self.folders)[data.draw(st.integers(0, len(self.folders) - 1))]
        self._read(path, max_bytes, steps=3)

    def _read(self, path: str, max_bytes: int, steps: int) -> None:
        reader, cursor = OutboxReader(path), self.cursors.get(path, OutboxCursor())
        for _ in range(steps):
            chunk = reader.read(cursor, live=self.alive[path], max_bytes=max_bytes)
            if chunk.end == cursor:
                break
            self.records_read.setdefault(path, []).extend(record.body for record in chunk.records)
            self.damages[path] = self.damages.get(path, 0) + len(chunk.damages)
            cursor = chunk.end
        reader.close()
        self.cursors[path] = cursor

    @invariant()
    def records_are_unchanged_and_in_order(self) -> None:
        for path, records_read in getattr(self, "records_read", {}).items():
            undamaged = [body for body in self.folders[path] if body not in self.damaged.get(path, set())]
            assert records_read == undamaged[: len(records_read)]

    @rule()
    def read_to_the_end(self) -> None:
        for path in self.folders:
            self._read(path, 4096, steps=10_000)
            damaged = self.damaged.get(path, set())
            undamaged = [body for body in self.folders[path] if body not in damaged]
            assert self.records_read.get(path, []) == undamaged
            assert not self.damages.get(path, 0) or damaged


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
