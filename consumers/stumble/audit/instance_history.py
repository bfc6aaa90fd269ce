"""The history of one instance from the topic alone: its events in time order, and the requests derived from them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stumble.audit.offset_range import range_of
from stumble.audit.topic import DecodingJob, read_records
from stumble.outcome.derive import derive_requests
from stumble.wire.codec import Decoder
from stumble.wire.schemas import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from stumble.audit.offset_range import OffsetRange
    from stumble.ingest.decoding import DecodedEvent
    from stumble.ingest.errors import BadRecordError
    from stumble.outcome.records import RequestRecord
    from stumble.settings.base import Settings


class InstanceHistory:
    """All events of one instance in the topic between two times, also failures that name only its request."""

    def __init__(
        self,
        settings: Settings,
        instance: str,
        since: datetime | None,
        until: datetime | None,
        on_progress: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self.instance = instance
        self._kafka = settings.kafka
        self._on_progress = on_progress
        self._decoding = DecodingJob(settings.kafka)
        self.unreadable: dict[tuple[int, int], BadRecordError] = {}
        """Records with a key of this instance or of its requests that can't be read, by partition and offset."""
        span = range_of(settings.kafka, settings.kafka.topics.actions, since, until)
        result = self._of_instance(span)
        requests = {reading.request_id for reading in result.values() if reading.request_id}
        if requests:
            result |= self._without_instance(span, requests)
        self.readings = sorted(result.values(), key=lambda reading: (reading.occurred_at, reading.event_id))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events as they were emitted, in time order, each once."""
        decoder = Decoder(EVENT)
        for reading in self.readings:
            yield decoder.decode(reading.framed)

    def requests(self) -> list[RequestRecord]:
        """Return the requests that are derived from the events."""
        facts = [reading.fact for reading in self.readings]
        result = derive_requests(self.instance, facts) if facts else ()
        return sorted(result, key=lambda record: (record.started_at or 0, record.request_key))

    def as_json(self) -> dict[str, Any]:
        """Return events and requests as one document; times are microseconds."""
        return {
            "instance_uuid": self.instance,
            "events": list(self.events()),
            "requests": [asdict(record) for record in self.requests()],
        }

    def _of_instance(self, span: OffsetRange) -> dict[bytes, DecodedEvent]:
        keys = {self.instance.encode(), self.instance.upper().encode()}
        result = self._readings(span, keys)
        return {reading.event_id: reading for reading in result if reading.instance == self.instance}

    def _without_instance(self, span: OffsetRange, requests: set[str]) -> dict[bytes, DecodedEvent]:
        result = self._readings(span, {request.encode() for request in requests})
        return {
            reading.event_id: reading
            for reading in result
            if reading.instance is None and reading.fact.failure is not None
        }

    def _readings(self, span: OffsetRange, keys: set[bytes]) -> Iterator[DecodedEvent]:
        size = len(span)
        for messages in read_records(self._kafka, span, keys, lambda done: self._on_progress("read", done, size)):
            readings, bad = self._decoding.readings(messages)
            self.unreadable |= {(item.partition, item.offset): item.error for item in bad}
            yield from readings
