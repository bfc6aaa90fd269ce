"""Headers of dead letters."""

from __future__ import annotations

from stumble.deadletters.producer import FIRST_SEEN, PREFIX, REPLAYS, dead_letter_headers
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.testing.in_memory import InMemoryRecord


def test_dead_letter_keeps_its_headers_first_seen_time_and_replay_count():
    given_headers = [("ce_id", b"mine"), (FIRST_SEEN, b"long ago"), (REPLAYS, b"2"), (PREFIX + "stage", b"old")]
    record = InMemoryRecord(b"junk", 3, 14, header_list=given_headers)
    headers = dead_letter_headers(
        BadRecord(record, 3, 14, BadRecordError("decode", ValueError("no \udc00 text"))), "group"
    )
    by_name = dict(headers)
    assert headers[0] == ("ce_id", b"mine")
    assert len(by_name) == len(headers)
    assert (by_name[FIRST_SEEN], by_name[REPLAYS], by_name[PREFIX + "stage"]) == (b"long ago", b"2", b"decode")
    assert (by_name[PREFIX + "partition"], by_name[PREFIX + "offset"]) == (b"3", b"14")
    assert by_name[PREFIX + "exception.class.name"] == b"builtins.ValueError"
    assert by_name[PREFIX + "schema"] == b"none"
