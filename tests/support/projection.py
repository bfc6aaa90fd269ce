"""A store and two ways to write events into it: own transactions, or projectors as processes."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from stumble.ingest.batch import Batch, OffsetSpan
from stumble.ingest.decoding import DecodedEvent, EventDecoder
from stumble.ingest.difference_writer import WITHDRAWN
from stumble.ingest.transaction import ALL_SIGHTINGS, StoreWriter, WriteSummary
from stumble.outcome.derive import derive_requests
from stumble.outcome.diff import counters_of
from stumble.outcome.facts import fact_of
from stumble.outcome.records import RequestRecord
from stumble.provision.topics import apply_plans, plan_topics
from stumble.settings.kafka import KafkaSettings
from stumble.simulator import Disturbance, Item, Stream, StreamSettings
from stumble.store.adapters import register_adapters
from stumble.store.connect import connect
from stumble.store.incarnation import connect_writer
from stumble.store.partitions import EventPartitions
from stumble.store.queries import query
from stumble.testing.events import NOW_US, framed
from stumble.testing.in_memory import InMemoryRecord
from stumble.wire import codec
from stumble.wire.schemas import EVENT
from stumble.wire.topics import partition_key
from tests.support.services import ROOT, cli_environment


def stream(events: int = 2000, **settings: Any) -> list[Item]:
    """Return events of a small fleet, with duplicates and in disturbed order."""
    given: dict[str, Any] = {
        "seed": 7,
        "start_us": NOW_US - 3_600_000_000,
        "instances": 150,
        "failures": 0.3,
        "disturbance": Disturbance(duplicates=0.05, disorder=0.1),
    }
    return list(Stream(StreamSettings(events=events, **(given | settings))))


class EventWriter:
    """Writes events in transactions of its own: a store writer, a session and the offsets that it expects."""

    def __init__(self, url: str, partitions: int = 4, *, topic_id: str = "t1", **options: Any) -> None:
        self.url = url
        self.connection = connect_writer(url, "stumble-test")
        register_adapters(self.connection)
        self.store_writer = StoreWriter("instance-actions", topic_id, EventPartitions(90), **options)
        self.decoder = EventDecoder()
        self.partitions = partitions
        self.offsets = dict.fromkeys(range(partitions), 0)
        self.create_offsets()

    def create_offsets(self) -> None:
        """Store that nothing was read of each partition, and that it is empty."""
        writer = self.store_writer
        given = {"topic": writer.topic, "topic_id": writer.topic_id, "partitions": list(self.offsets)}
        zeros = [0] * len(self.offsets)
        self.connection.execute(query("create_offsets"), {**given, "offsets": zeros})
        self.connection.execute(query("note_catch_up_offsets"), {**given, "ends": zeros, "committed": zeros})
        rows = self.connection.execute(query("load_offsets"), given)
        self.offsets = {partition: offset for partition, _, offset, _ in rows}

    def partition_of(self, one: Mapping[str, Any]) -> int:
        return sum(partition_key(one)) % self.partitions

    def batch(self, events: Iterable[Mapping[str, Any]]) -> Batch:
        batch = Batch()
        following = dict(self.offsets)
        for one in events:
            partition = self.partition_of(one)
            offset = following[partition]
            batch.readings.append(self.read(one, partition, offset))
            following[partition] = offset + 1
            batch.spans[partition] = OffsetSpan(self.offsets[partition], offset + 1)
        return batch

    def read(self, one: Mapping[str, Any], partition: int, offset: int) -> DecodedEvent:
        value = framed(one)
        return self.decoder.decode_event(InMemoryRecord(value, partition, offset), value, partition, offset)

    def write(self, events: Iterable[Mapping[str, Any]]) -> WriteSummary:
        summary = self.store_writer.apply(self.connection, self.batch(events))
        self.offsets.update(summary.offsets)
        return summary

    def sweep(self) -> int:
        return self.store_writer.sweep(self.connection, self.offsets)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, parameters).fetchall()

    def close(self) -> None:
        self.connection.close()


def expected(events: Iterable[Mapping[str, Any]]) -> dict[str, RequestRecord]:
    """Return the expected requests of the store in the end; a sighting joins the only instance that fits."""
    facts: dict[str, dict[str, Any]] = defaultdict(dict)
    unassigned = []
    for one in events:
        decoded = codec.decode_record(EVENT, codec.encode_record(EVENT, one))
        fact = fact_of(decoded)
        if decoded["instance_uuid"]:
            facts[decoded["instance_uuid"]][fact.event_id] = fact
        elif decoded["request_id"] and decoded["failure"]:
            unassigned.append(fact)
    known: dict[str | None, set[str]] = defaultdict(set)
    for instance, instance_facts in facts.items():
        for record in derive_requests(instance, instance_facts.values()):
            known[record.request_id].add(instance)
    for fact in unassigned:
        fitting = known[fact.origin.request_id]
        if len(fitting) == 1:
            facts[next(iter(fitting))][fact.event_id] = fact
    return {
        record.request_key: record
        for instance, instance_facts in facts.items()
        for record in derive_requests(instance, instance_facts.values())
    }


def differences(url: str, events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each difference between the store and what is derived from `events`."""
    events = list(events)
    expected_records = expected(events)
    lines: list[str] = []
    with connect(url) as session:
        ids = {row[0] for row in session.execute("select event_id::text from events")}
        if ids != {one["event_id"] for one in events}:
            lines.append(f"events: {len(ids)} stored, {len({one['event_id'] for one in events})} emitted")
        rows = session.execute(
            "select request_key::text, action, outcome, verdict, effect, reason, "
            "(select coalesce(array_agg(failure_id::text order by failure_id::text), '{}') from failures f "
            " where f.request_key = r.request_key) from requests r"
        )
        stored_rows = {row[0]: row[1:] for row in rows}
        lines += [f"{key}: not derived" for key in stored_rows.keys() - expected_records.keys()]
        for key, record in expected_records.items():
            ids_of = sorted(one.failure_id for one in record.failures)
            row = (record.action, record.outcome, record.verdict, record.effect, record.reason, ids_of)
            if stored_rows.get(key) != row:
                lines.append(f"{key}: {stored_rows.get(key)} instead of {row}")
        lines += _counters(session, expected_records.values())
        lines += _publications(session, expected_records)
    return lines


def _counters(session: Any, expected_records: Iterable[RequestRecord]) -> list[str]:
    counted: Counter[tuple[str, ...]] = Counter()
    for metric, labels, value in session.execute(query("load_counters")):
        if metric != "late_events":
            sign = -1 if metric.endswith(WITHDRAWN) else 1
            counted[metric.removesuffix(WITHDRAWN), *labels] += sign * value
    should_be = {name: value for name, value in counters_of(expected_records).items() if value}
    stored = {name: value for name, value in counted.items() if value}
    return [] if stored == should_be else [f"counters: {stored} instead of {should_be}"]


def _publications(session: Any, expected_records: Mapping[str, RequestRecord]) -> list[str]:
    lines = []
    last: dict[str, tuple[int, str, str, dict[str, Any]]] = {}
    order = (
        "select subject_id::text, revision, correction, status, kind, payload from publications"
        " order by incarnation, xid, id"
    )
    for subject, revision, correction, status, kind, payload in session.execute(order):
        if revision <= last.get(subject, (0,))[0] or correction != (subject in last):
            lines.append(f"{kind} {subject}: revision {revision} follows {last.get(subject, (0,))[0]}")
        last[subject] = (revision, status, kind, payload)
    current = {subject for subject, (_, status, _, _) in last.items() if status == "CURRENT"}
    expected_subjects = {one.failure_id for record in expected_records.values() for one in record.failures}
    expected_subjects |= {
        key for key, record in expected_records.items() if record.outcome != "IN_PROGRESS" or key in last
    }
    if current != expected_subjects:
        lines.append(f"current publications: {len(current)}, should be {len(expected_subjects)}")
    for subject, (_, _, kind, payload) in last.items():
        if (
            kind == "outcome"
            and subject in expected_records
            and payload["outcome"] != expected_records[subject].outcome
        ):
            lines.append(f"outcome {subject}: {payload['outcome']} was published last")
    return lines


def reject_bad_host(session: Any) -> None:
    """Let the store reject requests on host `bad-host` until the trigger `refuse` on `requests` is dropped."""
    session.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin "
        "if new.host = 'bad-host' then raise exception 'bad-host' using errcode = '22000'; end if; return new; end $$"
    )
    session.execute("create trigger refuse before insert or update on requests for each row execute function refuse()")


def eventually(check: Callable[[], Any], seconds: float = 90.0) -> None:
    """Wait until `check` returns an empty value; fails with the last value."""
    deadline = time.monotonic() + seconds
    while pending := check():
        assert time.monotonic() < deadline, pending
        time.sleep(0.2)


@dataclass
class ProjectorTestbed:
    """Own topics on a broker, an own store, and projectors as processes."""

    kafka: str
    url: str
    partitions: int = 4
    prefix: str = field(default_factory=lambda: f"w{uuid.uuid4().hex[:8]}.")
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    logs: dict[int, Path] = field(default_factory=dict)
    state_dir: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="projector-")))

    def __post_init__(self) -> None:
        self.settings = KafkaSettings(bootstrap_servers=self.kafka, topic_prefix=self.prefix)
        self.make_topics()
        self._producer: Producer | None = None

    def make_topics(self) -> None:
        list(apply_plans(self.settings, plan_topics(self.settings, partitions=self.partitions, replication=1)))

    @property
    def topic(self) -> str:
        return self.settings.topics.actions

    def environment(self, **extra: str) -> dict[str, str]:
        own = {
            "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "STUMBLE_KAFKA__TOPIC_PREFIX": self.prefix,
            "STUMBLE_DATABASE_URL": self.url,
            "STUMBLE_PROJECTOR_GROUP": f"{self.prefix}projector",
            "STUMBLE_STATE_DIR": str(self.state_dir),
        }
        return cli_environment(**(own | extra))

    def start(self, *command: str, module: str = "stumble.cli", **environment: str) -> subprocess.Popen[str]:
        """Start a role, by default `projector`."""
        argv = [sys.executable, "-u", "-m", module, *(command or ("projector",))]
        with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
            process = subprocess.Popen(argv, cwd=ROOT, env=self.environment(**environment), stderr=log, text=True)
        self.running.append(process)
        self.logs[process.pid] = Path(log.name)
        return process

    def produce(self, events: Iterable[Mapping[str, Any]], *, every: float = 0.0) -> None:
        """Send events as the relay does; `every`: seconds of pause after each hundred."""
        for number, one in enumerate(events):
            self.send(framed(one), partition_key(one))
            if every and number % 100 == 99:
                self.flush()
                time.sleep(every)
        self.flush()

    def send(self, value: bytes | None, key: bytes | None = None, **options: Any) -> None:
        self.send_to(self.topic, value, key, **options)

    def send_to(self, topic: str, value: bytes | None, key: bytes | None = None, **options: Any) -> None:
        if self._producer is None:
            self._producer = Producer(self.settings.producer_config(linger_ms=5))
        self._producer.produce(topic, value=value, key=key, **options)
        self._producer.poll(0)

    def forget_producer(self) -> None:
        """Send the next record with a new client, which loads the current partitions."""
        self.flush()
        self._producer = None

    def flush(self) -> None:
        if self._producer is not None:
            assert self._producer.flush(60) == 0

    def lag(self) -> str:
        """Return how far the store is behind the topic; empty when it isn't."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "test-lag"})
        try:
            with connect(self.url) as session:
                rows = session.execute(query("load_all_offsets"), {"topic": self.topic}).fetchall()
            stored = {partition: offset for partition, _, offset in rows}
            for partition in range(self.partitions):
                _, high = consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=60)
                if stored.get(partition, 0) < high:
                    return f"partition {partition}: {stored.get(partition, 0)} of {high}"
        except KafkaException as error:
            return str(error)
        finally:
            consumer.close()
        return ""

    def wait_until_stored(self, events: Iterable[Mapping[str, Any]], seconds: float = 90.0) -> None:
        """Wait until the store holds what is derived from `events`."""
        events = list(events)
        eventually(self.lag, seconds)
        eventually(lambda: differences(self.url, events))
        # A sighting that joins late leaves the failure the same, but not its other data.
        eventually(self.unjoined_sightings)

    def unjoined_sightings(self) -> list[str]:
        """Return the sightings that still have to join the only instance that knows their request id."""
        with connect(self.url) as session:
            rows = session.execute(query("load_joinable_sightings"), {"window": ALL_SIGHTINGS})
            candidates = Counter(event_id for event_id, *_ in rows)
        return [event_id for event_id, count in candidates.items() if count == 1]

    def read_once(self) -> None:
        """Run a projector until the store has reached the end of the topic."""
        process = self.start()
        eventually(self.lag)
        process.terminate()
        process.wait(60)

    def log_of(self, process: subprocess.Popen[str]) -> str:
        """Return what a process has logged."""
        return self.logs[process.pid].read_text()

    def kill_at_random(self, rng: random.Random, seconds: float, *, count: int = 1) -> None:
        """Kill projectors at random times and start them again, for `seconds`."""
        processes = [self.start() for _ in range(count)]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(rng.uniform(0.5, 2.5))
            victim = rng.randrange(count)
            processes[victim].kill()
            processes[victim].wait()
            processes[victim] = self.start()

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self.logs.values():
            log.unlink(missing_ok=True)
        shutil.rmtree(self.state_dir, ignore_errors=True)
