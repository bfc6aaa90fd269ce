"""Records that are not valid events."""

from __future__ import annotations

import pytest

from stumble.ingest.decoding import EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.signatures.verification import RecordVerifier
from stumble.testing.events import event, framed
from stumble.testing.in_memory import InMemoryRecord
from stumble.wire.errors import InvalidEvent
from tests.support.signing import new_key, write_public_keys


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": "nonsense"},
        {"event_id": "11111111111141118111111111111111"},
        {"instance_uuid": "nonsense"},
        {"occurred_at": -5},
        {"occurred_at": 2**62},
    ],
)
def test_invalid_field_value_is_a_bad_record_of_stage_model(fields):
    value = framed(event(**fields))
    with pytest.raises(BadRecordError) as caught:
        EventDecoder().decode_event(InMemoryRecord(value, 0, 0), value, 0, 0)
    assert caught.value.stage == "model"
    assert isinstance(caught.value.cause, InvalidEvent)


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
