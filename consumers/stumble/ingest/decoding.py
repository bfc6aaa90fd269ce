"""Decodes a Kafka record into what a batch needs: the fact, the row of `events`, the key of its fact set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stumble.ingest.errors import SIGNATURE, BadRecordError
from stumble.ingest.record_times import appended_at, is_plausible, replacement_time
from stumble.outcome.facts import CLAIMED_TIME, Fact, fact_of
from stumble.signatures.errors import SignatureRejected
from stumble.store.copying import event_row
from stumble.wire import codec, text
from stumble.wire.errors import InvalidEvent, NotAvro, RegistryUnavailable, UnknownSchema
from stumble.wire.kafka_record import KafkaRecord, headers_of
from stumble.wire.schemas import EVENT
from stumble.wire.taxonomy import withheld_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from stumble.signatures.verification import RecordVerifier

_SINGLE_OBJECT = codec.SINGLE_OBJECT_MAGIC + EVENT.fingerprint
_FRAME = len(_SINGLE_OBJECT)
_UUID_LENGTH = 36
_LONGEST_ID = 255


@dataclass(slots=True)
class DecodedEvent:
    """One decoded event. `instance` and `request_id` are the key of the fact set that its fact belongs to.

    `framed` is the event as it is stored. Mostly it is the record's own value, not a copy: thousands wait in memory.
    `claimed_at` is the time that the event claims, if it is implausible and `occurred_at` replaces it. `message` is the
    failure's, where its reason does not show it.
    """

    event_id: bytes
    partition: int
    offset: int
    occurred_at: int
    emitted_at: int
    instance: str | None
    request_id: str | None
    fact: Fact
    framed: bytes
    record: KafkaRecord
    claimed_at: int | None = None
    message: str | None = None

    @property
    def row(self) -> bytes:
        """The row of `events`."""
        return event_row(self.event_id, self.occurred_at, self.partition, self.offset, self.framed, self.message)

    def clean(self) -> None:
        """Replace the characters that PostgreSQL's text can't store."""
        self.fact = _cleaned(self.fact)
        self.request_id = text.clean_text(self.request_id) if self.request_id else None
        self.message = text.clean_text(self.message) if self.message else None


class EventDecoder:
    """Decodes records, and verifies their signatures if there is a `verifier`.

    Raises `BadRecordError` for an invalid event, `RegistryUnavailable` if the caller must wait.
    """

    def __init__(self, resolve_id: Callable[[int], str] | None = None, verifier: RecordVerifier | None = None) -> None:
        self._decoder = codec.Decoder(EVENT, resolve_id)
        self._verifier = verifier

    def decode_event(self, record: KafkaRecord, value: bytes, partition: int, offset: int) -> DecodedEvent:
        """Return what the store needs of one record's event."""
        try:
            # First the signature: a forged record must not cost a request to the registry.
            key = self._verifier.verify(record) if self._verifier else None
            event, as_stored = self._read(record, value)
            if key is not None:
                key.check_host(event["host"])
            return _decoded(event, value if as_stored else None, partition, offset, record)
        except (NotAvro, UnknownSchema) as error:
            raise BadRecordError("decode", error) from error
        except SignatureRejected as error:
            raise BadRecordError(SIGNATURE, error) from error
        except RegistryUnavailable:
            raise
        except Exception as error:
            raise BadRecordError("model", error) from error

    def _read(self, record: KafkaRecord, value: bytes) -> tuple[dict[str, Any], bool]:
        """Return the event, and whether its value has the store's framing and a schema that every reader knows."""
        if value[:_FRAME] == _SINGLE_OBJECT:
            return codec.read_record(EVENT, value[_FRAME:]), True
        return self._decoder.read(value, headers_of(record)), False


def _decoded(
    event: dict[str, Any], value: bytes | None, partition: int, offset: int, record: KafkaRecord
) -> DecodedEvent:
    """Return what the store needs of an event; `value` is None if the store has to hold other bytes than the record."""
    event_id, instance, request_id = _ids(event)
    bounded = codec.bound_texts(EVENT, event)
    if CLAIMED_TIME in bounded["attributes"]:  # only the store may say that a time was replaced
        others = {name: text for name, text in bounded["attributes"].items() if name != CLAIMED_TIME}
        bounded = {**bounded, "attributes": others}
    claimed_at = _bound_times(bounded, appended_at(record), offset)
    if value is None or bounded is not event or claimed_at is not None:
        body = codec.encode_record(EVENT, bounded)
        bounded, value = codec.read_record(EVENT, body), codec.frame_single_object(EVENT, body)
    return DecodedEvent(
        event_id,
        partition,
        offset,
        bounded["occurred_at"],
        bounded["emitted_at"],
        instance,
        request_id,
        fact_of(bounded),
        value,
        record,
        claimed_at,
        None if bounded["failure"] is None else withheld_message(bounded["failure"]),
    )


def _bound_times(event: dict[str, Any], appended: int, offset: int) -> int | None:
    """Replace the times of an event that are implausible; return the claimed `occurred_at` if it is one of them."""
    claimed_at: int | None = event["occurred_at"]
    if is_plausible(event["occurred_at"], appended):
        claimed_at = None
    else:
        event["occurred_at"] = replacement_time(appended, offset)
        event["attributes"] = {CLAIMED_TIME: str(claimed_at), **event["attributes"]}
    if not is_plausible(event["emitted_at"], appended):  # it only measures delays
        event["emitted_at"] = event["occurred_at"]
    return claimed_at


def _ids(event: dict[str, Any]) -> tuple[bytes, str | None, str | None]:
    """Return the ids of an event and of its fact set. Raises `InvalidEvent`: a cut would make two ids one."""
    event_id, instance, request_id = (
        _uuid_bytes("event_id", event["event_id"]),
        event["instance_uuid"],
        event["request_id"],
    )
    if instance is not None:
        instance = _instance(instance)
    if request_id is not None:
        if (size := len(request_id.encode())) > _LONGEST_ID:
            raise InvalidEvent(f"request_id has {size} bytes, more than {_LONGEST_ID}.")
        if "\x00" in request_id:
            request_id = text.clean_text(request_id)
    return event_id, instance, request_id or None


@lru_cache(maxsize=8192)
def _instance(uuid: str) -> str:
    """Return an instance's uuid as the store spells it; cached, since most events are of a recent instance."""
    _uuid_bytes("instance_uuid", uuid)
    return uuid.lower()


def _uuid_bytes(name: str, value: str) -> bytes:
    """Return the 16 bytes of a hyphenated uuid; raises `InvalidEvent` with the field's name."""
    try:
        result = bytes.fromhex(value.replace("-", ""))
    except ValueError:
        result = b""
    if len(result) != 16 or len(value) != _UUID_LENGTH:
        raise InvalidEvent(f"{name} is {value[:64]!r}, which is not a valid UUID.")
    return result


def _cleaned(value: Any) -> Any:
    """Clean every text inside a fact."""
    if isinstance(value, str):
        return text.clean_text(value)
    if isinstance(value, tuple):
        items = [_cleaned(item) for item in value]
        return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
    return value
