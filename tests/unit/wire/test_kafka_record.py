"""Reading the headers of records as the client hands them out."""

from __future__ import annotations

from stumble.testing.in_memory import InMemoryRecord
from stumble.wire.kafka_record import headers_of


class RecordWithUnreadableHeaderName(InMemoryRecord):
    """As confluent-kafka does: the first answer is an error, the second has a name that no program may use."""

    asked = False

    def headers(self):
        if self.header_list == [] and self.asked:
            return []
        if self.asked:
            raise AssertionError("the names of a second answer end the process")
        self.asked = True
        raise SystemError("returned a result with an exception set")


def test_headers_of_a_record_are_returned() -> None:
    assert headers_of(InMemoryRecord(b"", 0, 0, header_list=[("a", b"1")])) == [("a", b"1")]


def test_unreadable_header_name_is_reported_once_and_the_headers_are_removed() -> None:
    record = RecordWithUnreadableHeaderName(b"", 0, 0, header_list=[("a", b"1")])
    assert headers_of(record) is None
    assert headers_of(record) == []
