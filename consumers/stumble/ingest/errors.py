"""What can go wrong with a batch, told apart by what has to be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterable


class BadRecordError(StumbleError):
    """A record can't be taken in, whatever is tried: it goes to the dead letter topic."""

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.stage = stage
        self.cause = cause


class FencedError(StumbleError):
    """Other hands moved these partitions' offsets: what was read of them is not to be written."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self.partitions = frozenset(partitions)
        super().__init__(f"Partitions {sorted(self.partitions)} are written by another projector.")


class MissedVersionError(StumbleError):
    """A row is no longer what was read: roll back and read again."""


class NulTextError(StumbleError):
    """Some text holds a NUL: the batch's facts are cleaned and it is tried again."""


#: Nothing is wrong with the records or the store: the same batch again.
RETRY = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.UniqueViolation,
    errors.LockNotAvailable,
    MissedVersionError,
)
#: PostgreSQL counts these among its own troubles, but it is the row that is too large.
RECORD_FAULT = (errors.ProgramLimitExceeded, errors.StatementTooComplex)
#: The store is away, full, shutting down, not migrated or not ours: wait, whatever the records are.
STORE_DOWN = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.ProgrammingError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
)
