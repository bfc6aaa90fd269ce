"""Records that are rejected for their signature: counts and logs all of them, and chooses a sample to store.

Anybody who may write to the topic can make the projector reject any number of records, so the dead letter topic gets a
few of each kind only. Nothing is lost if the operator's file of public keys was wrong: the records remain in their
topic, from which `stumble audit --repair` adds them to the store.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stumble.signatures.errors import SignatureRejected

if TYPE_CHECKING:
    import logging

    from stumble.ingest.batch import BadRecord
    from stumble.projector.health import ProjectorHealth

#: For each reason, so that a flood of one kind does not displace the others.
_SAMPLES_PER_HOUR = 20
_HOUR = 3600.0
#: Larger than any event with a traceback: at most 20 x 6 of them are stored in an hour.
_LARGEST_SAMPLE = 64 << 10
_LOG_SECONDS = 60.0


class SignatureRejections:
    """Counts rejected records; for use in one thread."""

    def __init__(self, health: ProjectorHealth, log: logging.Logger) -> None:
        self._health = health
        self._log = log
        self._samples: dict[str, int] = {}
        self._samples_end_at = self._log_at = 0.0
        self._unlogged = 0

    def add(self, topic: str | None, partition: int | None, offset: int | None, error: SignatureRejected) -> None:
        """Count a rejected record; log the first one, and once in a minute how many there were since."""
        self._health.signature_rejected(error.reason)
        self._unlogged += 1
        if (now := time.monotonic()) >= self._log_at:
            self._log.warning(
                "Rejected %d records for their signature, the last one at %s %s:%s: %s",
                self._unlogged,
                topic,
                partition,
                offset,
                error,
            )
            self._unlogged, self._log_at = 0, now + _LOG_SECONDS

    def add_bad_record(self, bad: BadRecord) -> bool:
        """Count a rejected record of the topic; return whether it belongs to the sample for the dead letter topic."""
        error = bad.error.cause
        assert isinstance(error, SignatureRejected), "the decoder uses this stage for nothing else"
        self.add(bad.record.topic(), bad.partition, bad.offset, error)
        if (now := time.monotonic()) >= self._samples_end_at:
            self._samples.clear()
            self._samples_end_at = now + _HOUR
        stored = self._samples.get(error.reason, 0)
        if stored >= _SAMPLES_PER_HOUR or len(bad.record.value() or b"") > _LARGEST_SAMPLE:
            return False
        self._samples[error.reason] = stored + 1
        return True
