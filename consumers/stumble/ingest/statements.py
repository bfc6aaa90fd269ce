"""Statements of a write, made before they are executed: another process can make them, one session executes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stumble.ingest.errors import MissedVersionError
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Cursor


class WriteStatement(NamedTuple):
    """A statement of the `.sql` files by name, and its parameters.

    `must_write`: how many rows of `subject` it has to write; None for any number.
    """

    name: str
    parameters: dict[str, Any]
    must_write: int | None = None
    subject: str = ""


def execute_statements(cursor: Cursor[Any], statements: Iterable[WriteStatement]) -> None:
    """Execute statements in their order; raises `MissedVersionError` when another writer has changed a row."""
    for statement in statements:
        cursor.execute(query(statement.name), statement.parameters)
        if statement.must_write is not None and cursor.rowcount != statement.must_write:
            missed = statement.must_write - cursor.rowcount
            raise MissedVersionError(f"{missed} {statement.subject} were changed by another writer.")
