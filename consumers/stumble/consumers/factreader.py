"""Facts straight from Avro bytes, without the record in between.

A general decoder builds a dictionary of all of an event's fields, most of them null, of which a fact then takes some.
Here a function is generated from the schema that walks the bytes once and keeps only what a fact needs: a third of
the time. It gives the same as decoding and :func:`stumble.consumers.facts.fact_of` do; a property test holds it to
that. Of bytes that it can't make sense of it says so, and the caller decodes them the long way to learn the reason.

The format is the Avro specification's ("Binary Encoding"): zig-zag variable-length integers, unions as a branch and
a value. Text that is passed over is still checked to be UTF-8.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from stumble.consumers.facts import NO_EXTRA, NO_LABELS, Extra, Fact, Origin, exact_move, label_pairs, sighting


class Unreadable(Exception):  # no error yet: the caller looks closer
    """These bytes need the general decoder."""


class Read(NamedTuple):
    """What the projector needs of an event."""

    event_id: str
    occurred_at: int
    emitted_at: int
    instance_uuid: str | None
    request_id: str | None
    fact: Fact


#: What the generated function does with the fields that it kept (`v_…`), after the last of them.
_ASSEMBLE = """
    if v_instance is None:
        state = name = None
    else:
        name = v_instance_display_name
        state = v_instance if v_instance_vm_state is not None else None
    extra = (
        v_migration_id, v_migration_type, v_migration_status, v_source_host, v_dest_host,
        v_target_kind, v_target_id, v_step_id, v_attempt_id, v_attributes.get("outcome"),
    )
    if v_failure is not None:
        v_failure = sighting(v_failure, v_failure_id, v_attributes)
    if v_action == "resize":
        v_action = exact_move(v_action, v_old_flavor, v_new_flavor)
    fact = new(Fact, (
        v_occurred_at, v_event_id, v_source_signal or "", v_phase, v_action, v_step, state, v_failure,
        None if extra == NO_EXTRA else new(Extra, extra),
        new(Origin, (
            v_request_id, v_service, v_host, v_node, v_cell, v_region, v_availability_zone, v_cloud,
            v_global_request_id, v_owner_project_id, v_initiator_user_id, v_initiator_project_id, name,
            label_pairs(v_labels) if v_labels else NO_LABELS,
        )),
    ))
    return new(Read, (v_event_id, v_occurred_at, v_emitted_at, v_instance_uuid, v_request_id, fact))
"""
#: Fields that it keeps; text of other fields is passed over.
_KEPT = frozenset(re.findall(r"v_(\w+)", _ASSEMBLE))
#: What becomes of a nested record that is there: the state is a tuple, the failure a mapping.
_STATE = ("vm_state", "task_state", "old_vm_state", "old_task_state")
_FAILURE = ("exception", "chain", "code", "reason", "message", "traceback", "blame", "retryable")
#: Nullable text that is null nearly always: neighbours among these are passed over together.
_RARE = frozenset(
    (
        *("step_id", "attempt_id", "failure_id", "cloud", "hypervisor_type", "source_host", "source_node"),
        *("dest_host", "dest_node", "old_flavor", "new_flavor", "migration_id", "migration_type"),
        *("migration_status", "target_kind", "target_id"),
    )
)
_EIGHT = struct.Struct("<Q").unpack_from
_INDENT = "    "


def compile_reader(definition: str) -> Callable[[bytes, int], Read]:
    """Return a function from bytes, and where in them the body starts, to what the projector needs.

    ``definition`` is the writer's schema as JSON. The function raises :class:`Unreadable`.
    """
    walk = _compiled(json.loads(definition))

    def read(value: bytes, start: int) -> Read:
        try:
            return walk(value, start)
        except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
            raise Unreadable from error

    return read


def _compiled(schema: Mapping[str, Any]) -> Callable[[bytes, int], Read]:
    """Generate and compile the walk over a record of this schema."""
    names: dict[str, Any] = {
        "number": _number,
        "text_map": _text_map,
        "texts": _texts,
        "eight": _EIGHT,
        "sighting": sighting,
        "label_pairs": label_pairs,
        "new": tuple.__new__,
        "exact_move": exact_move,
        "Read": Read,
        "Fact": Fact,
        "Extra": Extra,
        "Origin": Origin,
        "NO_EXTRA": NO_EXTRA,
        "NO_LABELS": NO_LABELS,
        "EMPTY": {},
    }
    lines = ["def walk(b, p):"]
    _Writer(lines, names).fields(schema["fields"], "", _INDENT)
    lines += [f"{_INDENT}if p != len(b):", f"{_INDENT * 2}raise ValueError", _ASSEMBLE]
    exec("\n".join(lines), names)  # noqa: S102  # our own text, made of our own schema's field names
    return names["walk"]  # type: ignore[no-any-return]


def _variable(path: str) -> str:
    return "v_" + path.replace(".", "_")


class _Writer:
    """Writes the lines that read one field after the other. `b` holds the bytes, `p` is the place in them."""

    def __init__(self, lines: list[str], names: dict[str, Any]) -> None:
        self._lines = lines
        self._names = names

    def fields(self, fields: Iterable[Mapping[str, Any]], path: str, indent: str) -> None:
        """Read the fields of a record; neighbours that are rarely there are looked at together."""
        for rare, group in groupby(fields, lambda field: not path and field["name"] in _RARE):
            run = list(group)
            if not rare or len(run) < 2:
                for field in run:
                    self._field(field, path, indent)
                continue
            nulls = " = ".join(_variable(field["name"]) for field in run)
            self._add(indent, f"if b[p:p + {len(run)}] == {bytes(len(run))!r}:")
            self._add(indent + _INDENT, f"p += {len(run)}; {nulls} = None")
            self._add(indent, "else:")
            for field in run:
                self._field(field, path, indent + _INDENT)

    def _field(self, field: Mapping[str, Any], path: str, indent: str) -> None:
        name = f"{path}.{field['name']}" if path else field["name"]
        kind = field["type"]
        if isinstance(kind, list):
            self._nullable(kind[1], name, indent)
        else:
            self._value(kind, name, indent)

    def _nullable(self, kind: Any, name: str, indent: str) -> None:
        self._add(indent, "k = b[p]; p += 1")
        self._add(indent, "if k == 2:")
        self._value(kind, name, indent + _INDENT)
        self._add(indent, "elif k == 0:")
        self._add(indent + _INDENT, f"{_variable(name)} = None")
        self._add(indent, "else:")
        self._add(indent + _INDENT, "raise ValueError")

    def _value(self, kind: Any, name: str, indent: str) -> None:
        variable = _variable(name)
        shape = kind["type"] if isinstance(kind, dict) else kind
        if shape == "string":
            self._text(variable, indent, kept=_is_kept(name))
        elif shape == "record":
            self.fields(kind["fields"], name, indent)
            if name == "instance":
                self._add(indent, f"{variable} = ({', '.join(_variable(f'instance.{part}') for part in _STATE)})")
            elif name == "failure":
                parts = ", ".join(f'"{part}": {_variable(f"failure.{part}")}' for part in _FAILURE)
                self._add(indent, f"{variable} = {{{parts}}}")
        elif shape == "enum":
            self._enum(kind, variable, indent)
        elif shape == "boolean":
            self._add(indent, f"{variable} = (False, True)[b[p]]; p += 1")
        elif shape == "long":
            self._long(variable, indent)
        elif shape == "map":
            self._add(indent, "if b[p] == 0:")
            self._add(indent + _INDENT, f"p += 1; {variable} = EMPTY")
            self._add(indent, "else:")
            self._add(indent + _INDENT, f"{variable}, p = text_map(b, p)")
        else:
            reader = {"int": "number", "array": "texts"}[shape]
            self._add(indent, f"{variable}, p = {reader}(b, p)")

    def _text(self, variable: str, indent: str, *, kept: bool) -> None:
        self._add(indent, "n = b[p]; p += 1")
        self._add(indent, "if n > 127 or n & 1:")
        self._add(indent + _INDENT, "n, p = number(b, p - 1); n <<= 1")
        self._add(indent + _INDENT, "if n < 0: raise ValueError")
        self._add(indent, "q = p + (n >> 1)")
        if kept:
            self._add(indent, f"{variable} = b[p:q].decode(); p = q")
        else:
            self._add(indent, "t = b[p:q]; p = q")
            self._add(indent, "if not t.isascii(): t.decode()")

    def _enum(self, kind: Mapping[str, Any], variable: str, indent: str) -> None:
        table = f"e_{kind['name']}"
        self._names[table] = {2 * index: symbol for index, symbol in enumerate(kind["symbols"])}
        self._add(indent, f"{variable} = {table}[b[p]]; p += 1")

    def _long(self, variable: str, indent: str) -> None:
        """Read a number of eight bytes, as times of our days are, by joining pairs of groups of seven bits."""
        self._add(indent, "x = eight(b, p)[0]")
        self._add(indent, "if x & 0x8080808080808080 == 0x0080808080808080:")
        inner = indent + _INDENT
        self._add(inner, "p += 8")
        self._add(inner, "x = (x & 0x007f007f007f007f) | ((x & 0x7f007f007f007f00) >> 1)")
        self._add(inner, "x = (x & 0x00003fff00003fff) | ((x & 0x3fff00003fff0000) >> 2)")
        self._add(inner, "x = (x & 0x000000000fffffff) | ((x & 0x0fffffff00000000) >> 4)")
        self._add(inner, f"{variable} = (x >> 1) ^ -(x & 1)")
        self._add(indent, "else:")
        self._add(inner, f"{variable}, p = number(b, p)")

    def _add(self, indent: str, line: str) -> None:
        self._lines.append(indent + line)


def _is_kept(name: str) -> bool:
    record, _, part = name.rpartition(".")
    return name.replace(".", "_") in _KEPT or part in {"instance": _STATE, "failure": _FAILURE}.get(record, ())


def _number(value: bytes, place: int) -> tuple[int, int]:
    """Return a number and the place after it. Raises ``ValueError`` for more than 64 bits."""
    result, shift = 0, 0
    while True:
        byte = value[place]
        place += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise ValueError
    return (result >> 1) ^ -(result & 1), place


def _text(value: bytes, place: int) -> tuple[str, int]:
    length, place = _number(value, place)
    if length < 0:
        raise ValueError
    return value[place : place + length].decode(), place + length


def _blocks(value: bytes, place: int, item: Callable[[bytes, int], int]) -> int:
    """Read the blocks of an array or map; ``item`` reads one entry and returns the place after it."""
    while True:
        count, place = _number(value, place)
        if count == 0:
            return place
        if count < 0:
            count = -count
            _, place = _number(value, place)
        for _ in range(count):
            place = item(value, place)


def _text_map(value: bytes, place: int) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}

    def item(value: bytes, place: int) -> int:
        key, place = _text(value, place)
        found[key], place = _text(value, place)
        return place

    return found, _blocks(value, place, item)


def _texts(value: bytes, place: int) -> tuple[list[str], int]:
    found: list[str] = []

    def item(value: bytes, place: int) -> int:
        text, place = _text(value, place)
        found.append(text)
        return place

    return found, _blocks(value, place, item)
