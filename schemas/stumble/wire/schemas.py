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


def load_schema(text: str, version: int) -> Schema:
    """Parse a schema definition (JSON text).

    Raises ``fastavro.schema.SchemaParseException`` or ``ValueError`` if the text is not a valid schema.
    """
    definition = json.loads(text)
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
