"""Stores the last status of every producer process: read from a compacted topic, from its beginning at every start.

A status is a claim of one host about itself. Its texts, times and numbers are bounded here; the topic's offsets order
the statuses, and the broker's append time measures their age.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import psycopg

from stumble.clock.producers import RELAY
from stumble.ingest.record_times import LATEST_US, appended_at
from stumble.kafka.consumer import ReadFromBeginning, TopicConsumer
from stumble.projector.host_notices import distance
from stumble.runtime.timers import Timers
from stumble.runtime.worker import Worker
from stumble.signatures.errors import SignatureRejected
from stumble.signatures.optional import verifier_of
from stumble.store.connect import StoreError, connect
from stumble.store.json_rows import as_json
from stumble.store.queries import query
from stumble.store.rights import describe_store_error
from stumble.wire.codec import Decoder
from stumble.wire.errors import InvalidEvent, RegistryUnavailable, WireError
from stumble.wire.headers import relay_of
from stumble.wire.kafka_record import headers_of
from stumble.wire.schemas import PRODUCER_STATUS
from stumble.wire.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from confluent_kafka import Message
    from psycopg import Connection

    from stumble.projector.host_notices import HostNotices
    from stumble.projector.signature_rejections import SignatureRejections
    from stumble.settings.base import Settings

LOG = logging.getLogger("stumble.projector")
#: Most hosts, and most processes of one host, that are stored; further ones are ignored.
MAX_HOSTS: Final = 10_000
MAX_PROCESSES: Final = 1_000
_LIMIT = 1000
_POLL = 0.5
_PAUSE = 2.0
_NAMES_SECONDS = 60.0
_TOPIC_SECONDS = 15.0
#: Most statuses that wait for a store that is down: somebody can write statuses of any number of processes.
_MOST_UNSAVED: Final = 100_000
#: A clock that is wrong by more is logged. One that seems to be behind may be right: the status waited for the broker.
_NOTICED_US: Final = 60_000_000
#: Errors that are not those of one row.
_ERRORS_OF_ALL_ROWS = (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege)
#: Numbers of events and bytes are cut to this, so that no sum of them exceeds 64 bits.
_LARGEST_NUMBER: Final = 10**15
_COLUMNS = (
    *("host", "process", "reported_at", "alive", "oldest_unsent_at", "backlog_events", "backlog_bytes"),
    *("accepted_total", "sent_total", "refused_total", "rejected_total"),
)
#: (host, process)
Name = tuple[str, str]


class ProducerStatusReader(Worker):
    """Reads `ProducerStatus`; one projector of the group has the topic's partition."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        resolve_id: Callable[[int], str] | None,
        notices: HostNotices,
        rejections: SignatureRejections,
    ) -> None:
        super().__init__("statuses", LOG)
        self._url = settings.database_url.get_secret_value()
        self._decoder = Decoder(PRODUCER_STATUS, resolve_id)
        self._verifier = verifier_of(settings.kafka.public_keys_file)
        self._rejections = rejections
        self._consumer = TopicConsumer(settings.kafka, settings.kafka.topics.producers, f"{group}-producers")
        self._notices = notices
        self._timers = Timers()
        self._topic_id = ""
        self._unsaved: dict[Name, dict[str, Any]] = {}
        self._removed: dict[Name, dict[str, Any]] = {}
        self._stored_names: dict[str, set[str]] = {}
        #: By how much the last status of each relay was before its append time, UTC microseconds.
        self._behind: dict[str, int] = {}

    def run(self) -> None:
        """Join the group, then read until `end` is called."""
        self._consumer.subscribe(ReadFromBeginning())
        super().run()

    def run_once(self) -> float:
        """Read some statuses and store them."""
        if not self._topic_id or self._timers.past("topic"):
            self._topic_id = self._consumer.topic_id() or self._topic_id
            self._timers.put_off("topic", _TOPIC_SECONDS)
        if not self._topic_id:  # without it, earlier statuses would replace those that the store has
            return _PAUSE
        messages = self._consumer.poll(_LIMIT, _POLL)
        self._add_statuses(messages)
        return _PAUSE if (self._unsaved or self._removed) and not self._save() else 0.0

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _add_statuses(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.error() is not None:
                continue
            try:
                self._add(message)
            except SignatureRejected as error:
                self._rejections.add(message.topic(), message.partition(), message.offset(), error)
            except RegistryUnavailable:
                continue  # the next status comes within half a minute
            except WireError as error:
                text = f"A producer's status at offset {message.offset()} cannot be read: {error}"
                self._notices.add("unreadable status", _name_of(message.key())[0], text)

    def _add(self, message: Message) -> None:
        value, name = message.value(), _name_of(message.key())
        key = self._verifier.verify(message) if self._verifier else None
        if key is not None:
            key.check_host(name[0])
        position = {"topic_id": self._topic_id, "record_offset": message.offset() or 0}
        if len(self._unsaved) + len(self._removed) >= _MOST_UNSAVED and name not in self._unsaved:
            return  # the store is down; the process reports again
        if value is None:
            if name[1] == RELAY:
                return  # a relay removes processes, never itself: its silence is what tells that a host died
            self._unsaved.pop(name, None)
            self._removed[name] = {"host": name[0], "process": name[1], **position}
            return
        headers: Any = headers_of(message)
        status = _bounded(self._decoder.decode(value, headers))
        if (status["host"], status["process"]) != name or not status["host"]:
            raise InvalidEvent("its key is not its host and its process.")
        if key is not None:
            key.check_host(status["attributes"].get("relay_host"))
        received, relay = appended_at(message), relay_of(headers)
        before = self._unsaved.get(name)
        self._removed.pop(name, None)
        self._unsaved[name] = {
            **{column: status[column] for column in _COLUMNS},
            "status": status,
            "relay_host": clean_text(relay or status["attributes"].get("relay_host") or status["host"]),
            "relay_named": relay is not None,
            **position,
            "received_at": received,
            "started_seen_at": _started_seen_at(before, status, received),
            "last_alive_at": received if status["alive"] else before and before["last_alive_at"],
        }
        if name[1] == RELAY:
            self._compare_clocks(status, received)

    def _compare_clocks(self, status: dict[str, Any], received: int) -> None:
        """Log that a host's clock is wrong."""
        host, ahead = status["host"], status["reported_at"] - received
        wrong = ahead > _NOTICED_US
        if ahead < -_NOTICED_US:
            before = self._behind.get(host)
            wrong = before is not None and abs(before - ahead) < _NOTICED_US
            if len(self._behind) < MAX_HOSTS:
                self._behind[host] = ahead
        else:
            self._behind.pop(host, None)
        if wrong:
            text = (
                f"The clock of {{host}} is wrong: its relay reported a time {distance(ahead)} Kafka's. Set that clock."
            )
            self._notices.add("clock", host, text)

    def _save(self) -> bool:
        try:
            with connect(self._url, application="stumble-projector") as connection:
                self._load_names(connection)
                rows = [self._unsaved[name] for name in sorted(self._unsaved) if self._may_store(name)]
                removed = [self._removed[name] for name in sorted(self._removed)]
                _store_each(connection, "save_producer_statuses", rows)
                _store_each(connection, "remove_producers", removed)
        except (StoreError, psycopg.OperationalError):
            return False  # the writer logs this; newer statuses replace unsaved ones
        except psycopg.Error as error:
            LOG.warning("Producers' statuses cannot be stored: %s", describe_store_error(error, "projector"))
        self._unsaved.clear()
        self._removed.clear()
        return True

    def _load_names(self, connection: Connection[Any]) -> None:
        if self._timers.due("names", _NAMES_SECONDS):
            self._stored_names = {}
            for host, process in connection.execute(query("load_producer_names")):
                self._stored_names.setdefault(host, set()).add(process)

    def _may_store(self, name: Name) -> bool:
        """Return whether a producer is stored already, or there is room for it; then it counts as stored."""
        host, process = name
        processes = self._stored_names.get(host)
        if processes is None and len(self._stored_names) >= MAX_HOSTS:
            self._notices.add("hosts", "", f"There are {MAX_HOSTS} hosts with a relay: statuses of others are ignored.")
            return False
        if processes is not None and process not in processes and len(processes) >= MAX_PROCESSES:
            text = f"{{host}} has {MAX_PROCESSES} processes: statuses of others on that host are ignored."
            self._notices.add("processes", host, text)
            return False
        self._stored_names.setdefault(host, set()).add(process)
        return True


def _store_each(connection: Connection[Any], statement: str, rows: list[dict[str, Any]]) -> None:
    """Run a statement for all rows; if the store refuses one of them, for each row alone, so that others are kept."""
    if not rows:
        return
    try:
        connection.execute(query(statement), {"rows": as_json(rows)})
    except _ERRORS_OF_ALL_ROWS:
        raise
    except psycopg.Error:
        for row in rows:
            try:
                connection.execute(query(statement), {"rows": as_json([row])})
            except _ERRORS_OF_ALL_ROWS:
                raise
            except psycopg.Error as error:
                LOG.warning("The status of %r cannot be stored: %s", (row["host"], row["process"]), error)


def _started_seen_at(before: dict[str, Any] | None, status: dict[str, Any], received: int) -> int:
    """Return when this start was first reported, as far as statuses that are not stored yet show it."""
    if before is not None and before["status"]["started_at"] == status["started_at"]:
        return int(before["started_seen_at"])
    return received


def _name_of(key: bytes | str | None) -> Name:
    """Return host and process of a record's key, `HOST/PROCESS`."""
    text = key.decode("utf-8", "replace") if isinstance(key, bytes) else key or ""
    host, _, process = clean_text(text).partition("/")
    return host, process


def _bounded(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status with times and numbers that the store can hold and add up, and text that it can hold."""
    return {name: _bounded_value(name, value) for name, value in status.items()}


def _bounded_value(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): clean_text(text) for key, text in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, 0), LATEST_US if name.endswith("_at") else _LARGEST_NUMBER)
    return value
