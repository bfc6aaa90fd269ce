"""The schemas of this release, parsed once when the module loads.

The ``.avsc`` files in ``avsc/`` are the source of truth. Older versions are never removed, so that any published
record can be read without a registry.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from stumble.wire.errors import UnsupportedSchema

#: Most characters of a definition (JSON text), most types in it, and how deep they nest. Those of this release have at
#: most 18,000 characters, 121 types and depth 5.
MAX_SCHEMA_LENGTH = 64 << 10
_MAX_TYPES = 2000
_MAX_DEPTH = 8
_PRIMITIVES = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of one record type."""

    name: str
    version: int
    json: str
    parsed: Any = field(repr=False)
    #: CRC-64-AVRO of the parsing canonical form, little-endian as single-object encoding writes it.
    fingerprint: bytes


def schema_fingerprint(definition: Any) -> bytes:
    """Return a schema's 8-byte CRC-64-AVRO fingerprint, little-endian (Avro specification, single-object encoding)."""
    digest = fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO")
    return bytes.fromhex(digest)


def read_definition(text: str) -> Any:
    """Return a schema's definition (JSON text) after a check that any bytes are read with it in bounded time.

    fastavro reads nested types by recursion in C without a limit, and as many items of an array as the array claims to
    have. Therefore types are defined where they are used, never by a reference to a name, their depth and number are
    limited, and each type takes at least one byte, with the index of its union included.

    Raises ``UnsupportedSchema`` if a type is outside of these limits, and ``ValueError`` if the text is not JSON.
    """
    if len(text) > MAX_SCHEMA_LENGTH:
        raise UnsupportedSchema(f"it has {len(text)} characters, more than the {MAX_SCHEMA_LENGTH} that it may have")
    definition = json.loads(text)
    _check_types(definition)
    return definition


def _check_types(definition: Any) -> None:
    waiting = [(definition, 1)]
    for node, depth in waiting:  # grows meanwhile
        parts: list[Any] = []
        match node:
            case list():
                parts = [member for member in node if member not in ("null", {"type": "null"})]
            case {"type": "record" | "error", "fields": [_, *_] as fields}:
                parts = [field.get("type") if isinstance(field, dict) else field for field in fields]
            case {"type": "array", "items": part} | {"type": "map", "values": part}:
                parts = [part]
            case {"type": "fixed", "size": int(size)} if size > 0:
                pass
            case {"type": "enum"}:
                pass
            case {"type": str(name)} | str(name) if name in _PRIMITIVES:
                pass
            case _:
                text = f"it has the type {str(node)[:60]}, which is a reference, takes no bytes or is unknown"
                raise UnsupportedSchema(text)
        waiting += [(part, depth + 1) for part in parts]
        if depth > _MAX_DEPTH or len(waiting) > _MAX_TYPES:
            raise UnsupportedSchema(f"it has more than {_MAX_TYPES} types, or types deeper than {_MAX_DEPTH}")


def load_schema(text: str, version: int) -> Schema:
    """Parse a schema definition (JSON text).

    Raises as ``read_definition``, and ``fastavro.schema.SchemaParseException`` or ``ValueError`` if the text is not a
    valid schema.
    """
    definition = read_definition(text)
    return Schema(
        name=f"{definition['namespace']}.{definition['name']}",
        version=version,
        json=json.dumps(definition, separators=(",", ":"), ensure_ascii=False),
        parsed=parse_schema(definition),
        fingerprint=schema_fingerprint(json.loads(text)),
    )


def _load_all() -> list[Schema]:
    folder = resources.files(__package__) / "avsc"
    loaded = []
    for item in sorted(folder.iterdir(), key=lambda path: path.name):
        if item.name.endswith(".avsc"):
            version = int(item.name.split(".")[-2].removeprefix("v"))
            loaded.append(load_schema(item.read_text(encoding="utf-8"), version))
    return loaded


ALL: tuple[Schema, ...] = tuple(_load_all())
_BY_FINGERPRINT = {schema.fingerprint: schema for schema in ALL}


def latest_schema(name: str) -> Schema:
    """Return the newest version of a record type by its full name. Raises ``KeyError`` for an unknown name."""
    versions = [schema for schema in ALL if schema.name == name]
    if not versions:
        raise KeyError(name)
    return max(versions, key=lambda schema: schema.version)


def by_fingerprint(value: bytes) -> Schema | None:
    """Return the schema of this release with this fingerprint, or None."""
    return _BY_FINGERPRINT.get(value)


EVENT = latest_schema("stumble.InstanceActionEvent")
ACTION_FAILED = latest_schema("stumble.ActionFailed")
ACTION_OUTCOME = latest_schema("stumble.ActionOutcome")
PRODUCER_STATUS = latest_schema("stumble.ProducerStatus")
