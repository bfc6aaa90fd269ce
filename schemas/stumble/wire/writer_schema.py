"""The schema of a writer that is not a version of this release: how its records are read with a schema of this release.

Avro's resolution of two schemas ignores logical types, and a registry accepts a version that differs in them only: a
time in milliseconds would be read as one in microseconds. Therefore the logical types of both schemas are compared.
Fingerprints ignore logical types too, so a writer that frames with the fingerprint of a schema of this release has to
write that schema's units.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fastavro.schema import parse_schema

from stumble.wire.errors import UnsupportedSchema
from stumble.wire.schemas import read_definition

if TYPE_CHECKING:
    from stumble.wire.schemas import Schema

#: How many of each unit a second has. Avro defines these logical types for a long only.
_TIMES = {"timestamp-millis": 1_000, "timestamp-micros": 1_000_000, "timestamp-nanos": 1_000_000_000}
#: The logical types of the Avro specification, without ``uuid``, which does not change the meaning of a text. Unknown
#: ones are ignored, as the specification requires.
_LOGICAL_TYPES = {
    *_TIMES,
    "local-timestamp-millis",
    "local-timestamp-micros",
    "local-timestamp-nanos",
    "date",
    "time-millis",
    "time-micros",
    "decimal",
    "big-decimal",
    "duration",
}
_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1


class TimeConversion(NamedTuple):
    """How a time in a record is converted to the reader's unit: value * ``factor`` // ``divisor``."""

    path: tuple[str, ...]
    factor: int
    divisor: int

    def apply(self, record: dict[str, Any]) -> None:
        """Convert the time in ``record``, if it has one; a result beyond 64 bits becomes the nearest 64-bit number."""
        node: Any = record
        for name in self.path[:-1]:
            node = node.get(name)
            if node is None:
                return
        value = node[self.path[-1]]
        if value is not None:
            node[self.path[-1]] = min(max(value * self.factor // self.divisor, _SMALLEST), _LARGEST)


class WriterSchema(NamedTuple):
    """A writer's schema, parsed without its logical types, and what they require of a record that was read with it."""

    parsed: Any
    conversions: tuple[TimeConversion, ...] = ()


def parse_plain_schema(definition: str) -> Any:
    """Parse a schema (JSON text) without its logical types, so that times stay integers. Raises as ``load_schema``."""
    return parse_schema(_without_logical_types(read_definition(definition)))


def parse_writer_schema(text: str, reader: Schema) -> WriterSchema:
    """Return a writer's schema (JSON text) for records that are read as ``reader``.

    Times in milliseconds and nanoseconds are converted. Raises ``UnsupportedSchema`` if another logical type of a field
    differs from the reader's, or if the schema is of another record type, and as ``load_schema``.
    """
    parsed = parse_plain_schema(text)
    name = parsed.get("name") if isinstance(parsed, dict) else None
    if name != reader.name:
        raise UnsupportedSchema(f"it is not a {reader.name}")
    return WriterSchema(parsed, tuple(_conversions(json.loads(text), json.loads(reader.json), ())))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(value) for value in node]
    return node


def _conversions(writer: Any, reader: Any, path: tuple[str, ...]) -> Iterator[TimeConversion]:
    """Compare the logical types of two types. A type of the writer that the reader cannot resolve fails per record."""
    for written in _branches(writer):
        for read in _branches(reader):
            match written, read:
                case {"fields": fields}, {"fields": known}:
                    yield from _of_fields(fields, known, path)
                case ({"items": items}, {"items": known}) | ({"values": items}, {"values": known}):
                    if any(_conversions(items, known, path)):
                        raise _unsupported(path, written, read)
                case _:
                    yield from _of_values(written, read, path)


def _of_fields(fields: Any, known: Any, path: tuple[str, ...]) -> Iterator[TimeConversion]:
    written = {field["name"]: field["type"] for field in fields}
    for field in known:
        name = next((name for name in (field["name"], *field.get("aliases", ())) if name in written), None)
        if name is not None:
            yield from _conversions(written[name], field["type"], (*path, field["name"]))


def _of_values(written: Any, read: Any, path: tuple[str, ...]) -> Iterator[TimeConversion]:
    have, wanted = _logical_type(written), _logical_type(read)
    if have in _TIMES and wanted in _TIMES:
        if have != wanted:
            factor = _TIMES[wanted] / _TIMES[have]
            yield TimeConversion(path, max(round(factor), 1), max(round(1 / factor), 1))
    elif wanted is not None or have is not None:
        raise _unsupported(path, written, read)


def _logical_type(node: Any) -> str | None:
    """Return the logical type that changes the meaning of a type's values; None if there is none."""
    name = node.get("logicalType") if isinstance(node, dict) else None
    is_defined = name in _LOGICAL_TYPES and (name not in _TIMES or node["type"] == "long")
    return str(name) if is_defined else None


def _branches(node: Any) -> list[Any]:
    members = node if isinstance(node, list) else [node]
    return [member for member in members if member not in ("null", {"type": "null"})]


def _unsupported(path: tuple[str, ...], written: Any, read: Any) -> UnsupportedSchema:
    field = ".".join(path)
    have, wanted = (_logical_type(node) or "no logical type" for node in (written, read))
    return UnsupportedSchema(f"its field {field} has {have}, where this program needs {wanted}")


__all__ = ["TimeConversion", "WriterSchema", "parse_plain_schema", "parse_writer_schema"]
