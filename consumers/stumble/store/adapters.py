"""Parameters that are already in PostgreSQL's binary format and are sent unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.adapt import Dumper
from psycopg.pq import Format

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.abc import Buffer

_UUID_ARRAY_OID = 2951
_BYTEA_ARRAY_OID = 1001


class UuidArray(bytes):
    """A binary `uuid[]`, from `copying.uuid_array`."""

    __slots__ = ()


class ByteaArray(bytes):
    """A binary `bytea[]`, from `copying.bytea_array`."""

    __slots__ = ()


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer:
        return bytes(obj)


class _UuidArrayDumper(_PackedDumper):
    oid = _UUID_ARRAY_OID


class _ByteaArrayDumper(_PackedDumper):
    oid = _BYTEA_ARRAY_OID


def register_adapters(connection: Connection[Any]) -> None:
    """Register the packed parameters (`%b` placeholders) on `connection`."""
    connection.adapters.register_dumper(UuidArray, _UuidArrayDumper)
    connection.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)


__all__ = ["ByteaArray", "UuidArray", "register_adapters"]
