"""Predicts what happens to a dead letter that is sent again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from stumble.ingest.decoding import DecodedEvent, EventDecoder
from stumble.ingest.errors import CRASH, BadRecordError
from stumble.settings.registry import Registry
from stumble.signatures.optional import verifier_of
from stumble.store.queries import query
from stumble.wire.codec import Decoder
from stumble.wire.errors import RegistryUnavailable, StumbleError, WireError
from stumble.wire.kafka_record import LOG_APPEND_TIME
from stumble.wire.schemas import EVENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from stumble.deadletters.dead_letter import DeadLetter
    from stumble.settings.kafka import KafkaSettings

#: NEW: it can be decoded, and the store does not have it. KNOWN: the store has it, so nothing changes. AGAIN: it can
#: be decoded, but the store or the rules rejected it before. UNREADABLE: it will be dead-lettered again. UNSURE: the
#: schema registry does not answer.
Outlook = Literal["NEW", "KNOWN", "AGAIN", "UNREADABLE", "UNSURE"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A dead letter's event, if it can be decoded, and the expected result of sending it again."""

    outlook: Outlook
    why: str
    event: Mapping[str, Any] | None = None

    @property
    def action(self) -> str | None:
        """The action of the event, in Nova's spelling."""
        return self.event.get("action") if self.event else None

    @property
    def readable(self) -> bool:
        """Whether the projector of this version can decode it."""
        return self.outlook in ("NEW", "KNOWN", "AGAIN")


class RedrivePredictor:
    """Decodes dead letters as the projector would, and asks the store which of their events it has."""

    def __init__(self, kafka: KafkaSettings, connection: Connection[Any]) -> None:
        registry = Registry(kafka) if kafka.schema_registry_url else None
        resolve = registry.resolve if registry else None
        self._avro_decoder = Decoder(EVENT, resolve)
        self._event_decoder = EventDecoder(resolve, verifier_of(kafka.public_keys_file))
        self._connection = connection

    def predict(self, dead_letters: Sequence[DeadLetter]) -> list[Prediction]:
        """Return a prediction for each dead letter."""
        decoded = [self._decode(dead_letter) for dead_letter in dead_letters]
        known = self._known([item for item in decoded if isinstance(item, DecodedEvent)])
        return [
            self._prediction(dead_letter, item, known) for dead_letter, item in zip(dead_letters, decoded, strict=True)
        ]

    def _decode(self, dead_letter: DeadLetter) -> DecodedEvent | BadRecordError | RegistryUnavailable:
        if dead_letter.stage == CRASH:  # it would end this process, too
            return BadRecordError(CRASH, StumbleError(dead_letter.reason))
        record = _RedrivenRecord(dead_letter)
        try:
            return self._event_decoder.decode_event(record, dead_letter.value or b"", *dead_letter.record_id)
        except (BadRecordError, RegistryUnavailable) as error:
            return error

    def _prediction(
        self, dead_letter: DeadLetter, item: DecodedEvent | BadRecordError | RegistryUnavailable, known: set[UUID]
    ) -> Prediction:
        event = self._event(dead_letter)
        if isinstance(item, RegistryUnavailable):
            return Prediction("UNSURE", str(item), event)
        if isinstance(item, BadRecordError):
            still = "has no valid signature" if item.is_unsigned else f"cannot be decoded ({item.stage})"
            return Prediction("UNREADABLE", f"still {still}: {item}", event)
        event_id = UUID(bytes=item.event_id)
        if event_id in known:
            return Prediction("KNOWN", f"the store has event {event_id}: nothing changes", event)
        if dead_letter.stage in ("store", "derive"):
            return Prediction(
                "AGAIN", f"can be decoded, but was rejected before ({dead_letter.stage}): {dead_letter.reason}", event
            )
        return Prediction("NEW", f"can be decoded: event {event_id} will be stored", event)

    def _event(self, dead_letter: DeadLetter) -> Mapping[str, Any] | None:
        if dead_letter.stage == CRASH:
            return None
        try:
            return self._avro_decoder.decode(dead_letter.value or b"", dead_letter.headers)
        except WireError:  # also if the registry does not answer
            return None

    def _known(self, readings: Sequence[DecodedEvent]) -> set[UUID]:
        if not readings:
            return set()
        ids = [UUID(bytes=reading.event_id) for reading in readings]
        return {row[0] for row in self._connection.execute(query("load_known_event_ids"), {"ids": ids})}


class _RedrivenRecord:
    """The record that a redrive would append now, with the methods that the event decoder needs."""

    def __init__(self, dead_letter: DeadLetter) -> None:
        self._dead_letter = dead_letter

    def topic(self) -> str | None:
        return self._dead_letter.origin.topic if self._dead_letter.origin else None

    def partition(self) -> int | None:
        return self._dead_letter.record_id.partition

    def offset(self) -> int | None:
        return self._dead_letter.record_id.offset

    def key(self) -> bytes | None:
        return self._dead_letter.key

    def value(self) -> bytes | None:
        return self._dead_letter.value

    def headers(self) -> Any:
        return list(self._dead_letter.headers)

    def set_headers(self, value: Any, /) -> None:
        """Do nothing: the headers can be read."""

    def timestamp(self) -> tuple[int, int]:
        return LOG_APPEND_TIME, time.time_ns() // 1_000_000
