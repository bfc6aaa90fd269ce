"""Encodes a record's Avro body in one pass that also cleans and bounds its text.

It runs in the caller's thread inside compute services, so each schema is compiled once into one small function per
field. fastavro reads these records, and a property test checks that both produce the same bytes. For writing, fastavro
spends most of its time on the branch of each of the many nullable fields, and bounding would need a second pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stumble.wire.text import clean_text, shorten_text

#: Returns the bytes of a value; raises ``TypeError``, ``ValueError``, ``AttributeError`` or ``OverflowError``.
Write = Callable[[Any], bytes]

_NO_LIMIT = 1 << 30
_RANGES = {"int": 1 << 31, "long": 1 << 63}


def zigzag(number: int) -> bytes:
    """Return Avro's variable-length zig-zag coding of an integer (Avro specification, binary encoding)."""
    number = number << 1 if number >= 0 else ~(number << 1)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


#: Prefix of a nullable field with a value (branch index 1), and of a field without branches.
_PRESENT, _BARE = b"\x02", b""
_SHORT = 4096
_LENGTHS = {prefix: tuple(prefix + zigzag(number) for number in range(_SHORT)) for prefix in (_PRESENT, _BARE)}

#: The same few names and states repeat on a host: the cache holds this many values per field, no long texts.
_CACHED_VALUES, _CACHED_LIMIT, _CACHED_CHARACTERS = 256, 255, 64


def _length(number: int) -> bytes:
    return _LENGTHS[_BARE][number] if number < _SHORT else zigzag(number)


def _string(limit: int, prefix: bytes = _BARE) -> Write:
    lengths = _LENGTHS[prefix]
    cached_values = _CACHED_VALUES if limit <= _CACHED_LIMIT else 0
    known: dict[str, bytes] = {}

    def write(value: str) -> bytes:
        result = known.get(value)
        if result is not None:
            return result
        try:
            raw = value.encode()
        except UnicodeEncodeError:  # lone surrogates
            raw = shorten_text(clean_text(value), limit).encode()
        else:
            if len(raw) > limit or b"\x00" in raw:
                raw = shorten_text(clean_text(value), limit).encode()
        size = len(raw)
        result = (lengths[size] if size < _SHORT else prefix + zigzag(size)) + raw
        if len(known) < cached_values and len(value) <= _CACHED_CHARACTERS:
            known[value] = result
        return result

    return write


def _integer(kind: str) -> Write:
    bound = _RANGES[kind]

    def write(value: int) -> bytes:
        if not -bound <= value < bound:
            raise ValueError(f"{value} is not a valid {kind}")
        return zigzag(value)

    return write


def _boolean(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def _enum(definition: Mapping[str, Any]) -> Write:
    codes = {symbol: zigzag(number) for number, symbol in enumerate(definition["symbols"])}

    def write(value: str) -> bytes:
        try:
            return codes[value]
        except KeyError:
            raise ValueError(f"{value!r} is not a valid {definition['name']}") from None

    return write


def _items(limit: int) -> Write:
    """Write a list of texts with one limit for the whole list: items that exceed it are omitted."""
    write_item = _string(limit)

    def write(value: list[str]) -> bytes:
        return _block([write_item(item) for item in value], limit)

    return write


def _entries(limit: int) -> Write:
    """Write a map of texts with one limit for the whole map: entries that exceed it are omitted."""
    write_key, write_value = _string(255), _string(limit)

    def write(value: Mapping[str, str]) -> bytes:
        return _block([write_key(str(key)) + write_value(str(item)) for key, item in value.items()], limit)

    return write


def _block(parts: list[bytes], limit: int) -> bytes:
    if sum(map(len, parts)) > limit:
        fitting, remaining = [], limit
        for part in parts:
            if len(part) <= remaining:
                fitting.append(part)
                remaining -= len(part)
        parts = fitting
    return _length(len(parts)) + b"".join(parts) + b"\x00" if parts else b"\x00"


class Encoder:
    """Encodes records of one schema (its parsed JSON). ``given`` replaces the defaults of its fields."""

    def __init__(self, definition: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> None:
        self._named: dict[str, Write] = {}
        self._write = self._record(definition, given or {})

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Return a record's Avro body; an absent or None value becomes the given value, else the field's default.

        Raises ``TypeError``, ``ValueError`` or ``AttributeError`` if a value has another type than its field.
        """
        return self._write(record)

    def _record(self, definition: Mapping[str, Any], given: Mapping[str, Any]) -> Write:
        """Encode an empty record once; writing a record then replaces only the fields that it has."""
        fields: dict[str, tuple[int, Write]] = {}
        empty: list[bytes] = []
        for number, item in enumerate(definition["fields"]):
            name, write_value, absent = self._field(item)
            value = given.get(name)
            fields[name] = number, write_value
            empty.append(absent if value is None else write_value(value))

        def write(record: Mapping[str, Any]) -> bytes:
            parts = empty.copy()
            for name, value in record.items():
                if value is not None and name in fields:
                    number, write_value = fields[name]
                    parts[number] = write_value(value)
            return b"".join(parts)

        return write

    def _field(self, item: Mapping[str, Any]) -> tuple[str, Write, bytes]:
        kind, limit = item["type"], item.get("maxBytes", _NO_LIMIT)
        if isinstance(kind, list):
            return item["name"], self._nullable(kind[1], limit), b"\x00"
        write = self._value(kind, limit)
        return item["name"], write, write(item["default"])

    def _nullable(self, kind: Any, limit: int) -> Write:
        if kind == "string":  # most fields: one call instead of two
            return _string(limit, _PRESENT)
        write = self._value(kind, limit)
        return lambda value: _PRESENT + write(value)

    def _value(self, kind: Any, limit: int) -> Write:
        tag = kind["type"] if isinstance(kind, dict) else kind
        simple: dict[str, Callable[[], Write]] = {
            "string": lambda: _string(limit),
            "int": lambda: _integer("int"),
            "long": lambda: _integer("long"),
            "boolean": lambda: _boolean,
            "array": lambda: _items(limit),
            "map": lambda: _entries(limit),
            "enum": lambda: self._name(kind, _enum(kind)),
            "record": lambda: self._name(kind, self._record(kind, {})),
        }
        return simple[tag]() if tag in simple else self._named[tag]

    def _name(self, definition: Mapping[str, Any], write: Write) -> Write:
        self._named[definition["name"]] = write
        return write
