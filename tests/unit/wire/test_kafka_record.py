"""Reading the headers of records as the client hands them out."""

from __future__ import annotations

from stumble.testing.in_memory import InMemoryRecord
from stumble.wire.kafka_record import headers_of


class RecordWithUnreadableHeaderName(InMemoryRecord):
    """As confluent-kafka does: the first answer is an error, the second has a name that no program may use."""

    is_read = is_replaced = False

    def headers(self):
        if self.is_replaced:
            return self.header_list
        if self.is_read:
            raise AssertionError("the names of a second answer end the process")
        self.is_read = True
        raise SystemError("returned a result with an exception set")

    def set_headers(self, value):
        self.header_list = value
        self.is_replaced = True


def test_headers_of_a_record_are_returned() -> None:
    assert headers_of(InMemoryRecord(b"", 0, 0, header_list=[("a", b"1")])) == [("a", b"1")]


def test_unreadable_headers_are_reported_by_each_call_and_asked_for_once() -> None:
    record = RecordWithUnreadableHeaderName(b"", 0, 0, header_list=[("a", b"1")])
    assert [headers_of(record) for _ in range(3)] == [None, None, None]
