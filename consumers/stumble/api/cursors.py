"""Opaque cursors: the end of a page, and the position in a stream.

A page's cursor is the sort key of its last row, so rows that arrive meanwhile do not shift the next page.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STREAM = re.compile(r"(\d{1,19})-(\d{1,19})-(\d{1,19})")
_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PageCursor:
    """Sort key of the last row of a page: newest first, then by id."""

    at: datetime
    id: UUID

    def encode(self) -> str:
        """Return the text for a link."""
        micros = (self.at - _EPOCH) // _MICROSECOND
        raw = micros.to_bytes(8, "big", signed=True) + self.id.bytes
        return base64.urlsafe_b64encode(raw).decode()

    @classmethod
    def decode(cls, text: str) -> PageCursor:
        """Return the cursor of a link; raises ValueError for text that `encode` did not return."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            at = _EPOCH + int.from_bytes(raw[:8], "big", signed=True) * _MICROSECOND
            return cls(at, UUID(bytes=raw[8:]))
        except (ValueError, OverflowError, binascii.Error) as error:
            raise ValueError("The cursor is not valid; use `next` of the previous page.") from error


@dataclass(frozen=True, slots=True, order=True)
class StreamCursor:
    """Position in the publications: incarnation of the store, transaction, then row.

    Rows of one transaction appear together and only after every older transaction has ended, so a client that has
    read up to this position has missed no row, even one that was committed late.
    """

    incarnation: int
    xid: int
    id: int

    def encode(self) -> str:
        """Return the text for `Last-Event-ID`."""
        return f"{self.incarnation}-{self.xid}-{self.id}"

    @classmethod
    def decode(cls, text: str) -> StreamCursor:
        """Return the cursor of a `Last-Event-ID`; raises ValueError for text that `encode` did not return."""
        match = _STREAM.fullmatch(text.strip())
        numbers = [int(group) for group in match.groups()] if match else []
        if not numbers or max(numbers) > _BIGINT:
            raise ValueError("The Last-Event-ID is not valid; leave it out to start now.")
        return cls(*numbers)
