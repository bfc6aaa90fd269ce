"""Errors of a batch, grouped by what the projector does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from stumble.signatures.errors import SignatureRejected
from stumble.wire.errors import StumbleError, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Iterable


#: The stage that rejects records without a valid signature.
SIGNATURE = "signature"
#: The stage of a record that ended the process while it was decoded.
CRASH = "crash"


class BadRecordError(StumbleError):
    """A record can't be stored, however often it is tried: it goes to the dead letter topic."""

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.stage = stage
        self.cause = cause

    @property
    def is_unsigned(self) -> bool:
        """Whether no known relay vouches for the record: then it is not evidence of a fault of the pipeline."""
        return self.stage == SIGNATURE

    @property
    def depends_on_reader(self) -> bool:
        """Whether a reader of another release, with a registry or with other public keys might accept the record."""
        if isinstance(self.cause, SignatureRejected):
            return not self.cause.is_final
        return isinstance(self.cause, UnknownSchema)


class FencedError(StumbleError):
    """Another writer moved these partitions' offsets: what was read from them must not be written."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self.partitions = frozenset(partitions)
        super().__init__(f"Another projector writes partitions {sorted(self.partitions)}.")


class MissedVersionError(StumbleError):
    """A row was changed since it was read: roll back and read again."""


class NulTextError(StumbleError):
    """A text contains a NUL character: the batch's facts are cleaned and the batch is tried again."""


#: Neither the records nor the store cause these: the same batch is tried again.
RETRY = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.UniqueViolation,
    errors.LockNotAvailable,
    MissedVersionError,
)
#: PostgreSQL counts these as operational errors, but the row is too large.
RECORD_FAULT = (errors.ProgramLimitExceeded, errors.StatementTooComplex)
#: The store is unavailable, full, shutting down, not migrated, or not permitted to this role: wait, for any record.
STORE_DOWN = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.ProgrammingError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
)
