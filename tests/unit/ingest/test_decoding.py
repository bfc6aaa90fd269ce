"""Records that are not valid events."""

from __future__ import annotations

import pytest

from stumble.ingest.decoding import EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.testing.events import event, framed
from stumble.testing.in_memory import InMemoryRecord
from stumble.wire.errors import InvalidEvent


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
