"""Deriving what a replay writes, here and in helpers; everything is written by one session, in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

from stumble.audit.expected import derive_groups, remember
from stumble.audit.instance_chunks import chunk_of
from stumble.audit.parallel_map import ParallelMap, here
from stumble.ingest import difference_writer
from stumble.ingest.factsets import FactSet, LoadedFacts
from stumble.ingest.fold import Folded, FoldedChange
from stumble.outcome.facts import has_context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection, Cursor

    from stumble.audit.instance_chunks import InstanceRows
    from stumble.audit.worker_main import Pipe
    from stumble.audit.worker_pool import WorkerProcess
    from stumble.outcome.records import Decision


@dataclass(slots=True, frozen=True)
class Given:
    """Some whole instances, and what was decided about them."""

    told: InstanceRows
    decisions: Mapping[str, list[Decision]]


@dataclass(slots=True, frozen=True)
class Statement:
    """What a helper asks the writing session to do."""

    text: Any
    parameters: Any


@dataclass(slots=True, frozen=True)
class WrittenCount:
    """A helper has asked for all that follows from what it was given."""


class RemoteCursor:
    """As much of a cursor as writing needs; the session is the parent's."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.rowcount = -1
        self._rows: list[Any] = []

    def execute(self, text: Any, parameters: Any = None) -> Self:
        """Have a statement done."""
        self._pipe.send(Statement(text, parameters))
        self.rowcount, self._rows = self._pipe.recv()
        return self

    def fetchall(self) -> list[Any]:
        """Return the rows of the last statement."""
        return self._rows


@dataclass(slots=True, frozen=True)
class Folding:
    """The job of deriving what is given, as it comes; None is the last."""

    def work(self, pipe: Pipe) -> None:
        """Derive, and ask the parent to write."""
        cursor = cast("Cursor[Any]", RemoteCursor(pipe))
        while (given := pipe.recv()) is not None:
            difference_writer.write(cursor, folded(given), Counter())
            pipe.send(WrittenCount())


@dataclass(slots=True)
class ReplayWriter:
    """The session that writes what is folded."""

    connection: Connection[Any]
    helpers: Sequence[WorkerProcess] = field(default_factory=list)

    def lanes(self) -> ParallelMap[Given, None]:
        """Return lanes that derive, here and in helpers."""
        return ParallelMap([self._write] * here(self.helpers), self.helpers, Folding(), self._write_for)

    def _write(self, given: Given) -> None:
        with self.connection.cursor() as cursor:
            difference_writer.write(cursor, folded(given), Counter())

    def _write_for(self, helper: WorkerProcess, given: Given) -> None:
        helper.tell(given)
        with self.connection.cursor() as cursor:
            while isinstance(asked := helper.hear(), Statement):
                cursor.execute(asked.text, asked.parameters)
                helper.tell((cursor.rowcount, cursor.fetchall() if cursor.description else []))


def folded(given: Given) -> Folded:
    """Derive whole instances of which nothing is stored."""
    chunk = chunk_of(given.told.instances, given.told.rows)
    decided = {decision.request_key for ruled in given.decisions.values() for decision in ruled}
    loaded = LoadedFacts(
        {key: FactSet(key, chunk.partition_of(key[0]), facts, changed=True) for key, facts in chunk.sets.items()}
    )
    found = Folded(loaded)
    for group in derive_groups(chunk.sets, given.decisions):
        sets = [loaded.sets[key] for key in group.keys]
        remember(sets, group.difference.stored)
        versions = dict.fromkeys((key[1] for key in group.keys), 1)
        found.changes.append(
            FoldedChange(group.instance, chunk.partition_of(group.instance), group.difference, versions)
        )
    for item in loaded.sets.values():
        item.has_context = has_context(item.facts)
        item.has_decisions = any(one.request_key in decided for one in item.stored)
    return found
