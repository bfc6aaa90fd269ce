"""Derived records as rows of `requests` and `failures`: JSON that one statement turns into typed columns."""

from __future__ import annotations

from typing import Any, Final

from stumble.outcome.columns import Copies, FieldGetter, fields_in, fields_of
from stumble.outcome.records import FailureRecord, RequestRecord

_FAILURE: Final = FieldGetter(fields_of(FailureRecord))
_REQUEST: Final = FieldGetter(fields_in(RequestRecord, Copies.FAILURE_ROW))


def request_json(content: bytes, failures: int, version: int, partition: int) -> bytes:
    """Return the row of a request, made of its record as JSON; times stay microseconds, the statement converts them.

    The statement reads only the columns that it knows, so the record's failures may stay in it.
    """
    return b'%b,"failure_count":%d,"version":%d,"kafka_partition":%d}' % (content[:-1], failures, version, partition)


def failure_row(request: RequestRecord, failure: FailureRecord, partition: int) -> dict[str, Any]:
    """Return the row of a failure, with the fields of its request that are repeated there."""
    return _FAILURE.dict_of(failure) | _REQUEST.dict_of(request) | {"kafka_partition": partition}
