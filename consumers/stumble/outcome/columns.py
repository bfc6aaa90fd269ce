"""Declares a record's fields once: a field's form in the store, in publications and in the API.

A record is a frozen dataclass (outcome/records.py). Each field's annotation carries a :class:`Column`; the lists of
fields in SQL, rows, payloads and digests are made from it. The migration, the Avro schemas and the API's models list
their fields themselves, because each is a contract of its own; tests/unit/outcome/test_columns.py compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import Enum, Flag, auto
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class Readers(Enum):
    """Who reads a field over the API."""

    PROJECT = "the project's users, operators and auditors"
    OPERATORS = "operators and auditors"
    NOBODY = "nobody: for internal use"


class Copies(Flag):
    """Where a field is copied to, beside its record's own row."""

    NOWHERE = 0
    #: The publication of its record: a change of the field is published as a new revision.
    PUBLICATION = auto()
    #: A request's field: the publication of each of its failures.
    FAILURE_PUBLICATION = auto()
    #: A request's field: the row of each of its failures.
    FAILURE_ROW = auto()


@dataclass(frozen=True, slots=True)
class Column:
    """The column of a field. ``sql`` is its type; a ``timestamptz`` is a number of microseconds in Python."""

    sql: str
    readers: Readers = Readers.NOBODY
    copies: Copies = Copies.NOWHERE
    #: Description for the API's documentation.
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record, as declared."""

    name: str
    type: Any
    column: Column


@cache
def fields_of(record: type) -> tuple[Field, ...]:
    """Return the declared fields of a record, in order; fields without a `Column` are left out."""
    hints = get_type_hints(record, include_extras=True)
    declared = []
    for one in fields(record):
        hint = hints[one.name]
        if get_origin(hint) is Annotated:
            plain, column = get_args(hint)[:2]
            declared.append(Field(one.name, plain, column))
    return tuple(declared)


def fields_in(record: type, copies: Copies) -> tuple[Field, ...]:
    """Return the fields of a record that are copied to all of `copies`."""
    return tuple(field for field in fields_of(record) if copies in field.column.copies)


class FieldGetter:
    """Reads some fields of a record, two or more: as a tuple for a digest, as a dict for a row or payload."""

    def __init__(self, declared: Iterable[Field]) -> None:
        self.names = tuple(field.name for field in declared)
        self._get = attrgetter(*self.names)

    def tuple_of(self, record: object) -> tuple[Any, ...]:
        """Return the values in the fields' order."""
        values: tuple[Any, ...] = self._get(record)
        return values

    def dict_of(self, record: object) -> dict[str, Any]:
        """Return the values by name."""
        return dict(zip(self.names, self._get(record), strict=True))
