"""Records that are not valid events, and claims of an event that are bounded."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from fastavro import schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from stumble.ingest.decoding import DecodedEvent, EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.ingest.record_times import FUTURE_US, PAST_US
from stumble.outcome.facts import fact_of
from stumble.signatures.verification import RecordVerifier
from stumble.testing.events import NOW_US, event, failure, framed
from stumble.testing.in_memory import InMemoryRecord
from stumble.wire import codec
from stumble.wire.errors import InvalidEvent, NotAvro
from stumble.wire.kafka_record import LOG_APPEND_TIME
from stumble.wire.schemas import EVENT
from tests.support.signing import new_key, write_public_keys

APPENDED_MS = NOW_US // 1000
APPENDED_US = APPENDED_MS * 1000
LONG = "x" * 100_000


def decode(value: bytes, offset: int = 7, *, kind: int = LOG_APPEND_TIME, at_ms: int = APPENDED_MS) -> DecodedEvent:
    record = InMemoryRecord(value, 0, offset, timestamp_ms=at_ms, timestamp_kind=kind)
    return EventDecoder().decode_event(record, value, 0, offset)


def stored(decoded: DecodedEvent) -> dict[str, Any]:
    """Return the event that the store holds."""
    return codec.Decoder(EVENT).decode(decoded.framed)


def test_event_cannot_claim_that_the_store_replaced_its_time() -> None:
    forged = {"claimed_occurred_at": "1", "other": "x"}
    assert stored(decode(framed(event(attributes=forged))))["attributes"] == {"other": "x"}
    replaced = stored(decode(framed(event(occurred_at=7, attributes=forged))))
    assert replaced["attributes"] == {"claimed_occurred_at": "7", "other": "x"}


@pytest.mark.parametrize(
    ("reason", "message", "shown"),
    [
        ("libvirtError", "internal error", "internal error"),
        (None, "internal error", "internal error"),
        ("no host", "no host", None),
        ("no host", "Build aborted: no host", None),
        ("libvirtError", "libvirtError: internal error", "libvirtError: internal error"),
        ("libvirtError: the host refused it", "internal error", "internal error"),
        ("no host", None, None),
        ("no host", "", None),
    ],
)
def test_message_is_stored_where_the_reason_does_not_show_it(
    reason: str | None, message: str | None, shown: str | None
) -> None:
    failed = {"exception": "libvirtError", "message": message, "reason": reason, "blame": "UNKNOWN"}
    assert decode(framed(event(failure=failed))).message == shown
    assert decode(framed(event())).message is None


def unbounded(**fields: Any) -> bytes:
    """Return the Kafka value of an event as a writer without stumble's encoder writes it."""
    complete = codec.decode_record(EVENT, codec.encode_record(EVENT, event()))
    for name, value in fields.items():
        complete[name] = {**complete[name], **value} if isinstance(complete[name], dict) else value
    out = io.BytesIO()
    schemaless_writer(out, codec.parse_plain_schema(EVENT.json), complete)
    return codec.frame_single_object(EVENT, out.getvalue())


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": "nonsense"},
        {"event_id": "11111111111141118111111111111111"},
        {"instance_uuid": "nonsense"},
    ],
)
def test_invalid_field_value_is_a_bad_record_of_stage_model(fields):
    with pytest.raises(BadRecordError) as caught:
        decode(framed(event(**fields)))
    assert caught.value.stage == "model"
    assert isinstance(caught.value.cause, InvalidEvent)


@pytest.mark.parametrize(
    "claimed",
    [
        APPENDED_US + FUTURE_US + 1,
        APPENDED_US - PAST_US - 1,
        0,
        -5,
        2**62,
        2**63 - 1,
        -(2**63),
        253_369_000_000_000_000,
    ],
    ids=["just too late", "just too early", "1970", "before 1970", "no time", "largest", "smallest", "9998"],
)
def test_implausible_time_is_replaced_by_the_append_time_and_stays_in_an_attribute(claimed):
    decoded = decode(framed(event(occurred_at=claimed, emitted_at=claimed, attributes={"a": "b"})))
    assert decoded.occurred_at == decoded.fact.at == APPENDED_US + 7
    assert decoded.claimed_at == claimed
    kept = stored(decoded)
    assert kept["occurred_at"] == kept["emitted_at"] == APPENDED_US + 7
    assert kept["attributes"] == {"claimed_occurred_at": str(claimed), "a": "b"}


@pytest.mark.parametrize(
    "claimed", [APPENDED_US + FUTURE_US, APPENDED_US - PAST_US, APPENDED_US], ids=["latest", "earliest", "now"]
)
def test_plausible_time_is_not_changed(claimed):
    value = framed(event(occurred_at=claimed, emitted_at=claimed))
    decoded = decode(value)
    assert (decoded.occurred_at, decoded.claimed_at) == (claimed, None)
    assert decoded.framed is value


def test_replaced_times_of_one_batch_have_the_order_of_its_records():
    times = [decode(framed(event(occurred_at=0)), offset).occurred_at for offset in (20, 21, 22)]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("kind", "at_ms"),
    [(1, APPENDED_MS + 10**12), (1, 5), (0, -1), (LOG_APPEND_TIME, 0), (LOG_APPEND_TIME, 1_764_000_000_000_000)],
    ids=["writer in the future", "writer in 1970", "no time", "broker in 1970", "broker in microseconds"],
)
def test_time_of_a_writer_or_of_a_broker_without_a_clock_bounds_nothing(kind, at_ms):
    recent = decode(framed(event()), kind=kind, at_ms=at_ms)
    assert (recent.occurred_at, recent.claimed_at) == (NOW_US, None)
    future = decode(framed(event(occurred_at=2**60)), kind=kind, at_ms=at_ms)
    assert NOW_US <= future.occurred_at < NOW_US + 3_600_000_000


@given(claimed=st.integers(-(2**63), 2**63 - 1), offset=st.integers(0, 2**62))
def test_every_reading_of_a_record_gives_the_same_fact(claimed, offset):
    value = framed(event(occurred_at=claimed))
    first, second = decode(value, offset), decode(value, offset)
    assert (first.fact, first.framed) == (second.fact, second.framed)
    assert APPENDED_US - PAST_US <= first.occurred_at <= APPENDED_US + FUTURE_US
    assert fact_of(codec.Decoder(EVENT).decode(first.framed)) == first.fact  # as `stumble rederive` reads it


LIMITS = {field["name"]: field.get("maxBytes") for field in json.loads(EVENT.json)["fields"]}


@pytest.mark.parametrize("name", ["action", "host", "step", "step_id", "owner_project_id", "target_id", "target_kind"])
def test_text_beyond_its_maximum_is_cut_in_the_fact_and_in_the_store(name):
    decoded = decode(unbounded(**{name: LONG}))
    assert LIMITS[name] - 8 < len(stored(decoded)[name].encode()) <= LIMITS[name]
    assert len(repr(decoded.fact)) < 2000


@pytest.mark.parametrize(
    "fields",
    [
        {"failure": {"reason": LONG}},
        {"failure": {"message": LONG, "traceback": LONG}},
        {"failure": {"chain": ["Ab"] * 50_000}},
        {"failure": {"exception": "E" * 100_000}},
        {"instance": {"display_name": LONG, "vm_state": LONG}},
        {"labels": {f"k{number}": "v" for number in range(15_000)}},
        {"labels": {"k" * 100_000: "v"}},
        {"attributes": {"a": LONG}},
        {"host": "\N{EURO SIGN}" * 200},
    ],
    ids=["reason", "details", "chain", "exception", "instance", "labels", "label name", "attributes", "not ASCII"],
)
def test_nested_texts_and_counts_of_items_are_bounded(fields):
    base = {"failure": failure(), "instance": {"display_name": "a"}}
    complete = codec.decode_record(EVENT, codec.encode_record(EVENT, event(**base)))
    decoded = decode(unbounded(**{name: complete[name] for name in base} | _merged(complete, fields)))
    assert len(decoded.framed) < 25_000
    assert decoded.framed == framed(stored(decoded))


def _merged(complete: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: {**complete[name], **value} if isinstance(value, dict) else value for name, value in fields.items()}


def test_id_beyond_its_maximum_is_a_bad_record():
    with pytest.raises(BadRecordError, match="request_id has 256 bytes"):
        decode(unbounded(request_id="r" * 256))


def test_record_that_is_too_large_in_total_is_a_bad_record():
    with pytest.raises(BadRecordError, match="more than the") as caught:
        decode(unbounded(host="x" * codec.MAX_BODY_BYTES))
    assert isinstance(caught.value.cause, NotAvro)


@pytest.mark.parametrize(("host", "stage"), [("cmp1", None), (None, None), ("cmp2", "signature")])
def test_signed_event_is_accepted_if_its_host_is_one_of_the_key(tmp_path, host, stage):
    key, value = new_key(tmp_path, "cmp1"), framed(event(host=host))
    decoder = EventDecoder(verifier=RecordVerifier(write_public_keys(tmp_path / "keys.toml", key)))
    record = InMemoryRecord(value, 0, 0, header_list=key.sign("instance-actions", None, value))
    if stage is None:
        assert decoder.decode_event(record, value, 0, 0).fact.origin.host == host
        return
    with pytest.raises(BadRecordError, match="cmp2") as caught:
        decoder.decode_event(record, value, 0, 0)
    assert (caught.value.stage, caught.value.is_unsigned) == (stage, True)


def test_forged_record_with_an_unknown_schema_id_does_not_ask_the_registry(tmp_path):
    def resolve(schema_id):
        raise AssertionError(schema_id)

    value = b"\x00\x00\x00\x00\x07body"
    verifier = RecordVerifier(write_public_keys(tmp_path / "keys.toml", new_key(tmp_path, "cmp1")))
    with pytest.raises(BadRecordError) as caught:
        EventDecoder(resolve, verifier).decode_event(InMemoryRecord(value, 0, 0), value, 0, 0)
    assert caught.value.stage == "signature"


PAST = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("case", "depends"),
    [
        ("unknown key", True),
        ("no signature", True),
        ("no signature after unsigned_until", False),
        ("no signature, writer's time", True),
        ("expired key", False),
        ("expired key, writer's time", True),
        ("changed record", False),
    ],
)
def test_another_file_of_public_keys_might_accept_a_record_that_this_one_does_not_rule_out(tmp_path, case, depends):
    key, value = new_key(tmp_path, "cmp1"), framed(event(host="cmp1"))
    keys = () if case == "unknown key" or case.startswith("expired") else (key,)
    expired = key.line.replace(" }", f", valid_until = {PAST} }}") if case.startswith("expired") else ""
    unsigned_until = PAST if case in ("no signature after unsigned_until", "no signature, writer's time") else ""
    path = write_public_keys(tmp_path / "keys.toml", *keys, more=expired, unsigned_until=unsigned_until)
    signed_value = b"other" if case == "changed record" else value
    signature = [] if case.startswith("no signature") else key.sign("instance-actions", None, signed_value)
    kind = 1 if case.endswith("writer's time") else LOG_APPEND_TIME
    record = InMemoryRecord(value, 0, 0, header_list=signature, timestamp_ms=APPENDED_MS, timestamp_kind=kind)
    with pytest.raises(BadRecordError) as caught:
        EventDecoder(verifier=RecordVerifier(path)).decode_event(record, value, 0, 0)
    assert (caught.value.is_unsigned, caught.value.depends_on_reader) == (True, depends)


def test_another_reader_might_know_an_unknown_schema_but_reads_no_damaged_bytes():
    with pytest.raises(BadRecordError) as unknown:
        decode(codec.frame_confluent(7, b"body"))
    with pytest.raises(BadRecordError) as damaged:
        decode(codec.frame_single_object(EVENT, b"body"))
    assert (unknown.value.depends_on_reader, damaged.value.depends_on_reader) == (True, False)
