"""Headers of dead letters."""

from __future__ import annotations

from stumble.deadletters.producer import FIRST_SEEN, PREFIX, REPLAYS, explained
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.testing.in_memory import InMemoryRecord


def test_dead_letters_keep_their_headers_first_sight_and_replays():
    given_headers = [("ce_id", b"mine"), (FIRST_SEEN, b"long ago"), (REPLAYS, b"2"), (PREFIX + "stage", b"old")]
    record = InMemoryRecord(b"junk", 3, 14, header_list=given_headers)
    headers = explained(BadRecord(record, 3, 14, BadRecordError("decode", ValueError("no \udc00 text"))), "group")
    told = dict(headers)
    assert headers[0] == ("ce_id", b"mine")
    assert len(told) == len(headers)
    assert (told[FIRST_SEEN], told[REPLAYS], told[PREFIX + "stage"]) == (b"long ago", b"2", b"decode")
    assert (told[PREFIX + "partition"], told[PREFIX + "offset"]) == (b"3", b"14")
    assert told[PREFIX + "exception.class.name"] == b"builtins.ValueError"
    assert told[PREFIX + "schema"] == b"none"
