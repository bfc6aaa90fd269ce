"""Encoding and decoding in both framings; invalid bytes are distinguished from an unavailable registry."""

import io
import json
from pathlib import Path

import pytest
from fastavro import schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from stumble.wire import codec, headers, ids, schemas, text
from stumble.wire.errors import NotAvro, RegistryUnavailable, UnknownSchema, WireError

GOLDEN = Path(__file__).parent / "golden"
EVENT = schemas.EVENT


def values(kind):
    """A strategy for values of an Avro type."""
    if isinstance(kind, list):
        return st.none() | values(kind[1])
    name = kind["type"] if isinstance(kind, dict) else kind
    simple = {
        "string": st.text(max_size=30),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
    }
    if name in simple:
        return simple[name]
    if name == "enum":
        return st.sampled_from(kind["symbols"])
    if name == "array":
        return st.lists(values(kind["items"]), max_size=3)
    if name == "map":
        return st.dictionaries(st.text(max_size=5), values(kind["values"]), max_size=3)
    if name == "record":
        return st.fixed_dictionaries({item["name"]: values(item["type"]) for item in kind["fields"]})
    raise AssertionError(kind)


def records(schema):
    return values(json.loads(schema.json))


SCHEMA_AND_RECORD = st.sampled_from(schemas.ALL).flatmap(lambda schema: st.tuples(st.just(schema), records(schema)))


@given(SCHEMA_AND_RECORD)
def test_record_is_unchanged_after_both_framings(case):
    schema, record = case
    body = codec.encode_record(schema, record)
    record = codec.decode_record(schema, body)  # as cleaned
    decoder = codec.Decoder(schema, resolve_id={7: schema.json}.__getitem__)
    assert decoder.decode(codec.frame_single_object(schema, body)) == record
    assert decoder.decode(codec.frame_confluent(7, body)) == record
    named = headers.record_headers(schema, "nova-compute:host1", "id", 0)
    assert codec.Decoder(schema).decode(codec.frame_confluent(99, body), named) == record


@given(st.binary(max_size=60))
def test_invalid_bytes_raise_wire_error(value):
    try:
        record = codec.Decoder(EVENT).decode(value)
    except WireError:
        return
    assert set(record) == {item["name"] for item in json.loads(EVENT.json)["fields"]}


@given(records(EVENT), st.integers(0, 400))
def test_truncated_or_extended_body_raises_not_avro(record, cut):
    body = codec.encode_record(EVENT, record)
    if cut < len(body):
        with pytest.raises(NotAvro):
            codec.decode_record(EVENT, body[:cut])
    with pytest.raises(NotAvro):
        codec.decode_record(EVENT, body + b"\x00")


@given(SCHEMA_AND_RECORD)
def test_encoder_and_fastavro_write_the_same_bytes(case):
    schema, record = case
    body = codec.encode_record(schema, record)
    cleaned = codec.decode_record(schema, body)
    out = io.BytesIO()
    schemaless_writer(out, codec.parse_plain_schema(schema.json), cleaned)
    assert out.getvalue() == body
    assert codec.encode_record(schema, cleaned) == body
    if json.dumps(record).isascii() and "\\u" not in json.dumps(record):
        assert cleaned == record


def test_text_is_cleaned_and_shortened_in_every_field():
    long = "é" * 20_000
    record = {
        "host": "a\x00b\ud800c",
        "step": long,
        "labels": {"k": "v", "big": long, "z": "y"},
        "failure": {"traceback": f"start {long} end", "chain": ["A" * 2000, "B" * 2000, "C"]},
    }
    decoded_values = codec.decode_record(EVENT, codec.encode_record(EVENT, record))
    assert decoded_values["host"] == "a\ufffdb\ufffdc"
    assert len(decoded_values["step"].encode()) <= 255
    assert decoded_values["labels"] == {"k": "v", "z": "y"}
    assert decoded_values["failure"]["chain"] == ["A" * 2000, "C"]
    traceback = decoded_values["failure"]["traceback"]
    assert len(traceback.encode()) <= 16384
    assert traceback.startswith("start ")
    assert traceback.endswith(" end")


@pytest.mark.parametrize(
    "wrong", [{"host": 5}, {"phase": "NEVER"}, {"occurred_at": 2**63}, {"labels": 3}, {"source": 1}]
)
def test_value_of_wrong_type_is_rejected_when_encoded(wrong):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        codec.encode_record(EVENT, wrong)


@given(st.text(), st.integers(0, 200))
def test_shortened_text_fits_the_limit_and_short_text_is_unchanged(value, limit):
    value = text.clean_text(value)
    short = text.shorten_text(value, limit)
    assert len(short.encode()) <= limit
    if len(value.encode()) <= limit:
        assert short == value


def test_unavailable_registry_is_not_a_bad_record():
    def unavailable(_):
        raise RegistryUnavailable("gone")

    body = codec.encode_record(EVENT, {"event_id": "x"})
    with pytest.raises(RegistryUnavailable):
        codec.Decoder(EVENT, unavailable).decode(codec.frame_confluent(1, body))
    with pytest.raises(UnknownSchema):
        codec.Decoder(EVENT).decode(codec.frame_confluent(1, body))


def test_record_of_another_schema_raises_unknown_schema():
    other = codec.frame_single_object(schemas.PRODUCER_STATUS, codec.encode_record(schemas.PRODUCER_STATUS, {}))
    with pytest.raises(UnknownSchema, match=r"stumble\.ProducerStatus"):
        codec.Decoder(EVENT).decode(other)


def golden_record(schema):
    """Return one record with every field set; it never changes."""

    def value(kind, name):
        if isinstance(kind, list):
            return value(kind[1], name)
        tag = kind["type"] if isinstance(kind, dict) else kind
        samples = {"string": f"{name} é", "int": 7, "long": 1_700_000_000_123_456, "boolean": True}
        samples |= {"Blame": "RACE", "Effect": "OTHER"}
        if tag == "enum":
            return kind["symbols"][-1]
        if tag == "array":
            return [f"{name} 1"]
        if tag == "map":
            return {"key": name}
        if tag == "record":
            return {item["name"]: value(item["type"], item["name"]) for item in kind["fields"]}
        return samples[tag]

    return value(json.loads(schema.json), schema.name)


@pytest.mark.parametrize("schema", schemas.ALL, ids=lambda schema: f"{schema.name}.v{schema.version}")
def test_golden_bytes_are_read_by_every_version(schema):
    golden = bytes.fromhex((GOLDEN / f"{schema.name}.v{schema.version}.hex").read_text())
    assert codec.encode_record(schema, golden_record(schema)) == golden
    for reader in schemas.ALL:
        if reader.name == schema.name:
            decoded = codec.Decoder(reader).decode(codec.frame_single_object(schema, golden))
            if reader is schema:
                assert decoded == golden_record(schema)


def test_headers_are_cloudevents_and_name_the_schema():
    decoded_values = dict(headers.record_headers(EVENT, "compute:h 1", "id-1", 1_700_000_000_000_001, "00-ab-cd-01"))
    assert decoded_values["ce_specversion"] == b"1.0"
    assert decoded_values["ce_source"] == b"/stumble/compute%3Ah%201"
    assert decoded_values["ce_time"] == b"2023-11-14T22:13:20.000001Z"
    assert decoded_values["ce_type"] == b"stumble.InstanceActionEvent.v1"
    assert decoded_values["traceparent"] == b"00-ab-cd-01"
    assert headers.fingerprint_of(list(decoded_values.items())) == EVENT.fingerprint
    assert headers.fingerprint_of([("stumble_fingerprint", b"zz")]) is None


@pytest.mark.parametrize("is_bridge", [False, True])
def test_headers_name_the_relay_and_whether_the_record_is_of_a_bridge(is_bridge):
    sent = headers.relay_headers("cmp-ä", is_bridge=is_bridge)
    assert headers.relay_of(sent) == "cmp-ä"
    assert headers.is_from_bridge(sent) is is_bridge


def test_a_relay_header_that_is_missing_or_not_utf8_names_no_relay():
    for sent in (None, [], [("stumble_relay", None)], [("stumble_relay", b"\xff")]):
        assert headers.relay_of(sent) is None
        assert not headers.is_from_bridge(sent)


@given(st.integers(0, 2**47 * 1000), st.text(max_size=9), st.text(max_size=9), st.integers(0, 9))
def test_derived_event_id_depends_only_on_its_source_and_contains_its_time(time_us, publisher, message, position):
    event_id = ids.derived_event_id(time_us, publisher, message, position)
    assert event_id == ids.derived_event_id(time_us, publisher, message, position)
    assert event_id != ids.derived_event_id(time_us, publisher, message, position + 1)
    assert ids.event_time_us(event_id) == time_us
    assert event_id[14] == "7"


def test_request_and_failure_ids_depend_on_family_target_and_attempt():
    key = ids.request_key("i", "r", "resize")
    assert key == ids.request_key("i", "r", "migrate")
    assert key != ids.request_key("i", "r", "create")
    assert key != ids.request_key("i", "r", "resize", "volume")
    assert ids.failure_id(key, "h", "NoValidHost_Remote") == ids.failure_id(key, "h", "NoValidHost")
    assert ids.failure_id(key, "h", "NoValidHost", "2") != ids.failure_id(key, "h", "NoValidHost")


@pytest.mark.parametrize("host", [None, "", "cmp1", "h" * 63, "h" * 64, "h" * 255, "häst"])
def test_host_is_read_without_decoding_the_event(host):
    assert codec.read_host(codec.encode_record(EVENT, {"host": host})) == host


@given(st.binary(max_size=20))
def test_host_that_is_read_from_any_bytes_is_the_host_that_is_decoded(start):
    body = start + codec.encode_record(EVENT, {"host": "cmp1"})
    try:
        host = codec.read_host(body)
        decoded = codec.decode_record(EVENT, body)
    except NotAvro:
        return
    assert host == decoded["host"]


def with_field(kind):
    """Return the text of the event's schema with one field more."""
    definition = json.loads(EVENT.json)
    definition["fields"].append({"name": "more", "type": ["null", kind], "default": None})
    return json.dumps(definition)


def nested(depth):
    return {"type": "array", "items": nested(depth - 1)} if depth else "int"


def record_of(*kinds, name="Z"):
    return {"type": "record", "name": name, "fields": [{"name": f"f{n}", "type": kind} for n, kind in enumerate(kinds)]}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(record_of(["null", "Z"]), id="recursive"),
        pytest.param(record_of({"type": "map", "values": "stumble.Z"}), id="recursive by the full name"),
        pytest.param({"type": "array", "items": "null"}, id="array of null"),
        pytest.param({"type": "map", "values": {"type": "null"}}, id="map of null"),
        pytest.param({"type": "array", "items": record_of()}, id="array of empty records"),
        pytest.param({"type": "array", "items": record_of("null", "null")}, id="array of records of null"),
        pytest.param({"type": "array", "items": record_of("int", *["null"] * 1000)}, id="array of slow records"),
        pytest.param({"type": "array", "items": {"type": "fixed", "name": "Z", "size": 0}}, id="array of empty fixed"),
        pytest.param({"type": "array", "items": {"type": "fixed", "name": "Z", "size": -1}}, id="negative size"),
        pytest.param(nested(20), id="deep"),
        pytest.param(nested(900), id="very deep"),
        pytest.param(record_of(*["int"] * 2000), id="many types"),
        pytest.param({"type": "string", "doc": "x" * 70_000}, id="long"),
    ],
)
def test_schema_with_which_a_reader_might_not_end_is_unknown(kind):
    value = codec.frame_confluent(7, codec.encode_record(EVENT, {"event_id": "x"}) + b"\x00")
    with pytest.raises(UnknownSchema, match="is not supported: it has"):
        codec.Decoder(EVENT, {7: with_field(kind)}.__getitem__).decode(value)


@pytest.mark.parametrize("kind", ["double", nested(5), record_of("int", ["null", "string"], nested(3))])
def test_record_of_a_later_schema_is_read(kind):
    value = codec.frame_confluent(7, codec.encode_record(EVENT, {"event_id": "x"}) + b"\x00")
    assert codec.Decoder(EVENT, {7: with_field(kind)}.__getitem__).decode(value)["event_id"] == "x"
