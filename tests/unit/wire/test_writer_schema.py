"""Records whose writer's schema has other logical types than the reader's."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from fastavro import schemaless_writer

from stumble.wire import codec
from stumble.wire.errors import RegistryUnavailable, UnknownSchema
from stumble.wire.headers import record_headers
from stumble.wire.schemas import EVENT, PRODUCER_STATUS, Schema

AT_US = 1_764_000_000_123_456
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4}


def with_type(schema: Schema, name: str, kind: Any) -> str:
    """Return a schema's definition with another type of one of its fields."""
    definition = json.loads(schema.json)
    for field in definition["fields"]:
        if field["name"] == name:
            field["type"] = kind
            del field["default"]
    return json.dumps(definition)


def framed(definition: str, record: dict[str, Any], schema: Schema = EVENT) -> bytes:
    """Return the value of a record in Confluent's framing, as another Avro library writes it."""
    out = io.BytesIO()
    schemaless_writer(out, codec.parse_plain_schema(definition), record)
    return codec.frame_confluent(7, out.getvalue())


def time_of(unit: str) -> dict[str, str]:
    return {"type": "long", "logicalType": f"timestamp-{unit}"}


@pytest.mark.parametrize(
    ("unit", "written", "read"),
    [
        ("millis", AT_US // 1000, AT_US // 1000 * 1000),
        ("nanos", AT_US * 1000 + 999, AT_US),
        ("micros", AT_US, AT_US),
        ("millis", -1, -1000),
        ("nanos", -1, -1),
        ("millis", 2**63 - 1, 2**63 - 1),
        ("millis", -(2**63), -(2**63)),
    ],
)
def test_time_in_another_unit_is_read_as_microseconds(unit: str, written: int, read: int) -> None:
    definition = with_type(EVENT, "occurred_at", time_of(unit))
    decoded = codec.Decoder(EVENT, lambda _: definition).decode(framed(definition, {"occurred_at": written}))
    assert decoded["occurred_at"] == read
    assert decoded["emitted_at"] == 0  # it has the reader's unit


@pytest.mark.parametrize(("written", "read"), [(1_764_000_000_123, 1_764_000_000_123_000), (None, None)])
def test_nullable_time_is_converted_if_it_is_there(written: int | None, read: int | None) -> None:
    (name,) = [
        field["name"]
        for field in json.loads(PRODUCER_STATUS.json)["fields"]
        if isinstance(field["type"], list) and field["type"][1] == time_of("micros")
    ][:1]
    definition = with_type(PRODUCER_STATUS, name, ["null", time_of("millis")])
    value = framed(definition, {name: written}, PRODUCER_STATUS)
    assert codec.Decoder(PRODUCER_STATUS, lambda _: definition).decode(value)[name] == read


def test_field_that_the_writer_lacks_has_the_readers_default() -> None:
    definition = json.loads(with_type(EVENT, "occurred_at", time_of("millis")))
    definition["fields"] = [field for field in definition["fields"] if field["name"] != "emitted_at"]
    text = json.dumps(definition)
    decoded = codec.Decoder(EVENT, lambda _: text).decode(framed(text, {"occurred_at": 5}))
    assert (decoded["occurred_at"], decoded["emitted_at"]) == (5000, 0)


@pytest.mark.parametrize(
    ("name", "kind", "has"),
    [
        ("occurred_at", "long", "no logical type"),
        ("occurred_at", {"type": "int", "logicalType": "timestamp-millis"}, "no logical type"),
        ("occurred_at", {"type": "int", "logicalType": "date"}, "date"),
        ("occurred_at", {"type": "long", "logicalType": "local-timestamp-micros"}, "local-timestamp-micros"),
        ("occurred_at", {"type": "long", "logicalType": "time-micros"}, "time-micros"),
        ("occurred_at", {"type": "long", "logicalType": "my-time"}, "no logical type"),
        ("emitted_at", ["null", "int", time_of("millis")], "no logical type"),
        ("host", ["null", DECIMAL], "decimal"),
        ("attributes", {"type": "map", "values": DECIMAL}, "decimal"),
    ],
)
def test_other_logical_type_is_refused_with_one_sentence_that_names_the_field(name: str, kind: Any, has: str) -> None:
    definition = with_type(EVENT, name, kind)
    with pytest.raises(UnknownSchema) as caught:
        codec.Decoder(EVENT, lambda _: definition).decode(codec.frame_confluent(7, b"any"))
    assert str(caught.value).startswith("The registry's schema for schema id 7 is not supported: its field ")
    assert f"{name} has {has}, where this program needs " in str(caught.value)


@pytest.mark.parametrize("logical_type", ["uuid", "of-a-company"])
def test_logical_type_that_does_not_change_the_value_is_read(logical_type: str) -> None:
    definition = with_type(EVENT, "host", ["null", {"type": "string", "logicalType": logical_type}])
    assert codec.Decoder(EVENT, lambda _: definition).decode(framed(definition, {"host": "cmp1"}))["host"] == "cmp1"


def test_nested_record_is_compared_field_by_field() -> None:
    definition = json.loads(EVENT.json)
    (failure,) = [field for field in definition["fields"] if field["name"] == "failure"]
    failure["type"][1]["fields"][0]["type"] = ["null", DECIMAL]
    text = json.dumps(definition)
    with pytest.raises(UnknownSchema, match=r"its field failure\.[a-z_]+ has decimal"):
        codec.Decoder(EVENT, lambda _: text).decode(codec.frame_confluent(7, b"any"))


def test_fingerprint_of_this_release_is_used_without_a_registry() -> None:
    def unexpected(schema_id: int) -> str:
        raise AssertionError(schema_id)

    body = codec.encode_record(EVENT, {"host": "cmp1"})
    decoder, headers = codec.Decoder(EVENT, unexpected), record_headers(EVENT, "svc:h", "id", 0)
    assert decoder.decode(codec.frame_confluent(99, body), headers)["host"] == "cmp1"
    assert decoder.decode(codec.frame_single_object(EVENT, body))["host"] == "cmp1"
    with pytest.raises(UnknownSchema):
        codec.Decoder(EVENT, unexpected).decode(
            codec.frame_confluent(99, body), record_headers(PRODUCER_STATUS, "svc:h", "id", 0)
        )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_schema_id_is_asked_for_again_after_ten_minutes_since_a_registry_may_give_it_to_another_schema() -> None:
    texts = [with_type(EVENT, "occurred_at", time_of(unit)) for unit in ("millis", "micros")]
    remaining, clock = list(texts), Clock()
    decoder = codec.Decoder(EVENT, lambda _: remaining.pop(0), clock=clock)
    value = framed(texts[0], {"occurred_at": 5})
    read = []
    for clock.now in (0.0, 599.0, 601.0, 602.0):
        read.append(decoder.decode(value)["occurred_at"])
    assert (read, remaining) == ([5000, 5000, 5, 5], [])


@pytest.mark.parametrize("error", [RegistryUnavailable("gone"), UnknownSchema("lost")])
def test_known_schema_stays_in_use_while_the_registry_does_not_have_it(error: Exception) -> None:
    answers: list[str | Exception] = [EVENT.json, error, error]
    clock = Clock()

    def resolve(_: int) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    decoder = codec.Decoder(EVENT, resolve, clock=clock)
    for clock.now, left in ((0.0, 2), (601.0, 1), (660.0, 1), (662.0, 0)):
        assert decoder.decode(framed(EVENT.json, {"host": "cmp1"}))["host"] == "cmp1"
        assert len(answers) == left
