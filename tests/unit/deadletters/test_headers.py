"""Headers of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stumble.deadletters.dead_letter import dead_letter_of
from stumble.deadletters.producer import FIRST_SEEN, PREFIX, REPLAYS, UNREADABLE_HEADERS, dead_letter_headers
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.testing.in_memory import InMemoryRecord

if TYPE_CHECKING:
    from confluent_kafka import Message


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


class RecordWithUnreadableHeaderName(InMemoryRecord):
    """Its headers cannot be read, as those of confluent-kafka's records with a name that is not UTF-8."""

    def headers(self):
        raise SystemError("returned a result with an exception set")


def test_dead_letter_of_a_record_with_unreadable_headers_says_so():
    record = RecordWithUnreadableHeaderName(b"junk", 3, 14, header_list=[("a", b"1")])
    made = dead_letter_headers(BadRecord(record, 3, 14, BadRecordError("decode", ValueError("no"))), "group")
    headers = {name: value or b"" for name, value in made}
    assert headers[UNREADABLE_HEADERS] == b"the name of a header is not UTF-8"
    assert all(name.startswith(PREFIX) for name in headers)
    letter = dead_letter_of(cast("Message", InMemoryRecord(b"junk", 0, 7, header_list=list(headers.items()))))
    assert (letter.headers, letter.headers_unreadable) == ((), True)
