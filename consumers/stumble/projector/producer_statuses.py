"""Stores the last status of every producer process: read from a compacted topic, from its beginning at every start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.kafka.consumer import ReadFromBeginning, TopicConsumer
from stumble.runtime.worker import Worker
from stumble.signatures.errors import SignatureRejected
from stumble.signatures.optional import verifier_of
from stumble.store.connect import StoreError, connect
from stumble.store.json_rows import as_json
from stumble.store.queries import query
from stumble.wire.codec import Decoder
from stumble.wire.errors import RegistryUnavailable, WireError
from stumble.wire.schemas import PRODUCER_STATUS
from stumble.wire.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from confluent_kafka import Message

    from stumble.projector.signature_rejections import SignatureRejections
    from stumble.settings.base import Settings
    from stumble.signatures.verification import TrustedKey

LOG = logging.getLogger("stumble.projector")
_LIMIT = 1000
_POLL = 0.5
_PAUSE = 2.0


class ProducerStatusReader(Worker):
    """Reads `ProducerStatus`; one projector of the group has the topic's partition."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        resolve_id: Callable[[int], str] | None,
        rejections: SignatureRejections,
    ) -> None:
        super().__init__("statuses", LOG)
        self._url = settings.database_url.get_secret_value()
        self._decoder = Decoder(PRODUCER_STATUS, resolve_id)
        self._verifier = verifier_of(settings.kafka.public_keys_file)
        self._rejections = rejections
        self._consumer = TopicConsumer(settings.kafka, settings.kafka.topics.producers, f"{group}-producers")
        self._unsaved: dict[tuple[str, str], dict[str, Any]] = {}

    def run(self) -> None:
        """Join the group, then read until `end` is called."""
        self._consumer.subscribe(ReadFromBeginning())
        super().run()

    def run_once(self) -> float:
        """Read some statuses and store them."""
        self._add_statuses(self._consumer.poll(_LIMIT, _POLL))
        return _PAUSE if self._unsaved and not self._save() else 0.0

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _add_statuses(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.error() is not None:
                continue
            try:
                key = self._verify(message)
                if (value := message.value()) is None:
                    continue
                status = self._decoder.decode(value, message.headers())  # type: ignore[arg-type]  # a list, always
                if key is not None:
                    key.check_host(status["host"])
                    key.check_host(status["attributes"].get("relay_host"))
            except SignatureRejected as error:
                self._rejections.add(message.topic(), message.partition(), message.offset(), error)
                continue
            except RegistryUnavailable:
                continue  # the next status comes within half a minute
            except WireError as error:
                LOG.warning("A producer's status at offset %s cannot be read: %s", message.offset(), error)
                continue
            self._unsaved[status["host"], status["process"]] = _row(status)

    def _verify(self, message: Message) -> TrustedKey | None:
        """Verify a record, also a tombstone, and that it replaces a status of a host for which its key is valid."""
        if self._verifier is None or (key := self._verifier.verify(message)) is None:
            return None
        raw = message.key() or b""
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        key.check_host(text.partition("/")[0])
        return key

    def _save(self) -> bool:
        try:
            with connect(self._url, application="stumble-projector") as connection:
                rows = [self._unsaved[key] for key in sorted(self._unsaved)]
                connection.execute(query("save_producer_statuses"), {"rows": as_json(rows)})
        except (StoreError, psycopg.OperationalError):
            return False  # the writer logs this; newer statuses replace unsaved ones
        except psycopg.Error as error:
            LOG.warning("Producers' statuses cannot be stored: %s", error)
        self._unsaved.clear()
        return True


def _row(status: dict[str, Any]) -> dict[str, Any]:
    names = (
        "reported_at",
        "alive",
        "oldest_unsent_at",
        "backlog_events",
        "backlog_bytes",
        "accepted_total",
        "sent_total",
        "refused_total",
        "rejected_total",
    )
    cleaned = {name: clean_text(value) if isinstance(value, str) else value for name, value in status.items()}
    return {
        "host": cleaned["host"],
        "process": cleaned["process"],
        **{name: status[name] for name in names},
        "status": cleaned,
    }
