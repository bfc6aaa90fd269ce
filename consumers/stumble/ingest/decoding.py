"""Decodes a Kafka record into what a batch needs: the fact, the row of `events`, the key of its fact set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from stumble.ingest.errors import SIGNATURE, BadRecordError
from stumble.outcome.facts import Fact, fact_of
from stumble.signatures.errors import SignatureRejected
from stumble.store.copying import event_row
from stumble.wire import codec, text
from stumble.wire.errors import InvalidEvent, NotAvro, RegistryUnavailable, UnknownSchema
from stumble.wire.schemas import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from stumble.signatures.verification import RecordVerifier

#: Valid times of events, UTC microseconds, from 1970 to 9999-01-01: PostgreSQL and Python can represent them, and
#: others are not plausible.
_EARLIEST_US = 0
_LATEST_US = 253_370_764_800_000_000
_SINGLE_OBJECT = codec.SINGLE_OBJECT_MAGIC + EVENT.fingerprint
_FRAME = len(_SINGLE_OBJECT)
_UUID_LENGTH = 36
_LONGEST_ID = 255


class KafkaRecord(Protocol):
    """The methods of `confluent_kafka.Message` that are used."""

    def topic(self) -> str | None: ...  # noqa: D102
    def partition(self) -> int | None: ...  # noqa: D102
    def offset(self) -> int | None: ...  # noqa: D102
    def key(self) -> bytes | None: ...  # noqa: D102
    def value(self) -> bytes | None: ...  # noqa: D102
    def headers(self) -> Any: ...  # noqa: D102
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102


@dataclass(slots=True)
class DecodedEvent:
    """One decoded event. `instance` and `request_id` are the key of the fact set that its fact belongs to.

    `framed` is the event as it is stored. Mostly it is the record's own value, not a copy: thousands wait in memory.
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

    @property
    def row(self) -> bytes:
        """The row of `events`."""
        return event_row(self.event_id, self.occurred_at, self.partition, self.offset, self.framed)

    def clean(self) -> None:
        """Replace the characters that PostgreSQL's text can't store."""
        self.fact = _cleaned(self.fact)
        self.request_id = text.clean_text(self.request_id) if self.request_id else None


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
            event, framed = self._event(record, value)
            if key is not None:
                key.check_host(event["host"])
            return _reading(event, framed, partition, offset, record)
        except (NotAvro, UnknownSchema) as error:
            raise BadRecordError("decode", error) from error
        except SignatureRejected as error:
            raise BadRecordError(SIGNATURE, error) from error
        except RegistryUnavailable:
            raise
        except Exception as error:
            raise BadRecordError("model", error) from error

    def _event(self, record: KafkaRecord, value: bytes) -> tuple[dict[str, Any], bytes]:
        if value[:_FRAME] == _SINGLE_OBJECT:
            return codec.decode_record(EVENT, value[_FRAME:]), value
        event = self._decoder.decode(value, record.headers())
        # The store holds one framing, and only schemas that every reader of this release knows.
        return event, codec.frame_single_object(EVENT, codec.encode_record(EVENT, event))


def _reading(event: dict[str, Any], framed: bytes, partition: int, offset: int, record: KafkaRecord) -> DecodedEvent:
    event_id, occurred_at = _uuid_bytes("event_id", event["event_id"]), event["occurred_at"]
    instance, request_id = event["instance_uuid"], event["request_id"]
    if not _EARLIEST_US <= occurred_at <= _LATEST_US:
        raise InvalidEvent(f"occurred_at is {occurred_at}, which is not a valid time in microseconds.")
    if instance is not None:
        instance = _instance(instance)
    if request_id is not None:
        if len(request_id) > _LONGEST_ID:
            raise InvalidEvent(f"request_id has {len(request_id)} characters, more than {_LONGEST_ID}.")
        if "\x00" in request_id:
            request_id = text.clean_text(request_id)
    return DecodedEvent(
        event_id,
        partition,
        offset,
        occurred_at,
        event["emitted_at"],
        instance,
        request_id or None,
        fact_of(event),
        framed,
        record,
    )


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


__all__ = ["DecodedEvent", "EventDecoder", "KafkaRecord"]
