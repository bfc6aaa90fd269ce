"""What would happen to a letter that is sent again, as this program sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from stumble.ingest.decoding import DecodedEvent, EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.settings.registry import Registry
from stumble.store.queries import query
from stumble.wire.codec import Decoder
from stumble.wire.errors import RegistryUnavailable, WireError
from stumble.wire.schemas import EVENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

    from stumble.deadletters.dead_letter import DeadLetter
    from stumble.settings.kafka import KafkaSettings

#: NEW: reads well, the store doesn't know it. KNOWN: it does, so nothing changes. AGAIN: reads well, but the store
#: or the rules refused it before. UNREADABLE: comes back. UNSURE: the registry doesn't say.
Outlook = Literal["NEW", "KNOWN", "AGAIN", "UNREADABLE", "UNSURE"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A letter's event, where it can be read, and what sending it again would come to."""

    outlook: Outlook
    why: str
    event: Mapping[str, Any] | None = None

    @property
    def action(self) -> str | None:
        """Action of the event, in Nova's spelling."""
        return self.event.get("action") if self.event else None

    @property
    def readable(self) -> bool:
        """Whether this program's projector can read it."""
        return self.outlook in ("NEW", "KNOWN", "AGAIN")


class RedrivePredictor:
    """Reads letters as the projector would, and asks the store which of their events it knows."""

    def __init__(self, kafka: KafkaSettings, connection: Connection[Any]) -> None:
        registry = Registry(kafka) if kafka.schema_registry_url else None
        resolve = registry.resolve if registry else None
        self._avro_decoder = Decoder(EVENT, resolve)
        self._event_decoder = EventDecoder(resolve)
        self._connection = connection

    def predict(self, dead_letters: Sequence[DeadLetter]) -> list[Prediction]:
        """Say of each letter what it is and what would happen to it."""
        read = [self._read(dead_letter) for dead_letter in dead_letters]
        known = self._known([item for item in read if isinstance(item, DecodedEvent)])
        return [self._seen(dead_letter, item, known) for dead_letter, item in zip(dead_letters, read, strict=True)]

    def _read(self, dead_letter: DeadLetter) -> DecodedEvent | BadRecordError | RegistryUnavailable:
        record = _Again(dead_letter)
        try:
            return self._event_decoder.decode_event(record, dead_letter.value or b"", *dead_letter.record_id)
        except (BadRecordError, RegistryUnavailable) as error:
            return error

    def _seen(
        self, dead_letter: DeadLetter, item: DecodedEvent | BadRecordError | RegistryUnavailable, known: set[UUID]
    ) -> Prediction:
        event = self._event(dead_letter)
        if isinstance(item, RegistryUnavailable):
            return Prediction("UNSURE", str(item), event)
        if isinstance(item, BadRecordError):
            return Prediction("UNREADABLE", f"still can't be read ({item.stage}): {item}", event)
        event_id = UUID(bytes=item.event_id)
        if event_id in known:
            return Prediction("KNOWN", f"the store knows event {event_id}: nothing changes", event)
        if dead_letter.stage in ("store", "derive"):
            return Prediction(
                "AGAIN", f"reads well, but was refused before ({dead_letter.stage}): {dead_letter.reason}", event
            )
        return Prediction("NEW", f"reads well: event {event_id} is taken in", event)

    def _event(self, dead_letter: DeadLetter) -> Mapping[str, Any] | None:
        try:
            return self._avro_decoder.decode(dead_letter.value or b"", dead_letter.headers)
        except WireError:  # a registry that is away among them
            return None

    def _known(self, readings: Sequence[DecodedEvent]) -> set[UUID]:
        if not readings:
            return set()
        ids = [UUID(bytes=reading.event_id) for reading in readings]
        return {row[0] for row in self._connection.execute(query("load_known_event_ids"), {"ids": ids})}


class _Again:
    """A letter in the shape of a Kafka record, as the projector's reader takes it."""

    def __init__(self, dead_letter: DeadLetter) -> None:
        self._letter = dead_letter

    def topic(self) -> str | None:
        return self._letter.origin.topic if self._letter.origin else None

    def partition(self) -> int | None:
        return self._letter.record_id.partition

    def offset(self) -> int | None:
        return self._letter.record_id.offset

    def key(self) -> bytes | None:
        return self._letter.key

    def value(self) -> bytes | None:
        return self._letter.value

    def headers(self) -> Any:
        return list(self._letter.headers)

    def timestamp(self) -> tuple[int, int]:
        return (1, self._letter.at)
