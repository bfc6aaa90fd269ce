"""Builds a projector; only this module knows all its parts. Nothing starts before `run`."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stumble.clock.clock import Clock
from stumble.clock.wall_clock import WallClock
from stumble.deadletters.producer import DeadLetterCount
from stumble.deadletters.unique_producer import UniqueDeadLetterProducer
from stumble.ingest.decoding import EventDecoder
from stumble.ingest.transaction import StoreWriter
from stumble.kafka.client_errors import ClientErrors
from stumble.kafka.consumer import TopicConsumer
from stumble.projector.batch_collector import BatchCollector
from stumble.projector.batch_writer import BatchWriter
from stumble.projector.breaker import CircuitBreaker
from stumble.projector.bridged_hosts import BridgedHosts
from stumble.projector.decoding_mark import DecodingMark
from stumble.projector.health import ProjectorHealth
from stumble.projector.host_notices import HostNotices
from stumble.projector.loop import LOG, Projector
from stumble.projector.maintenance import Maintenance
from stumble.projector.partitions import AssignedPartitions
from stumble.projector.producer_statuses import ProducerStatusReader
from stumble.projector.schema_resolver import SchemaResolver
from stumble.projector.signature_rejections import SignatureRejections
from stumble.projector.start_offsets import StartOffsets
from stumble.projector.store_session import StoreSession
from stumble.projector.store_watch import StoreWatch
from stumble.projector.topic_ends import TopicEnds
from stumble.projector.topic_retention import TopicRetention
from stumble.projector.write_thread import WriteThread
from stumble.runtime.affinity import pin_to_core
from stumble.runtime.gc_pause import gc_paused, limit_malloc_arenas
from stumble.runtime.state_log import StateLog
from stumble.settings.registry import Registry
from stumble.signatures.optional import verifier_of
from stumble.store.connect import connect, require_database_url
from stumble.store.incarnation import connect_writer
from stumble.store.partitions import EventPartitions

if TYPE_CHECKING:
    from stumble.projector.settings import ProjectorSettings
    from stumble.runtime.worker import Worker
    from stumble.settings.base import Settings


@dataclass(slots=True)
class ProjectorService:
    """The projector's loop and its background threads."""

    projector: Projector
    maintenance: Maintenance
    #: It starts first: whether Kafka answers is known while the projector waits for the store.
    ends: TopicEnds
    background: Sequence[Worker]
    health: ProjectorHealth
    core: int | None

    def run(self, stop: threading.Event) -> None:
        """Wait for the store, then read until `stop` is set."""
        started: list[Worker] = [self.ends]
        self.ends.start()
        try:
            if not self.maintenance.wait_for_store(stop):
                return
            for thread in self.background:
                thread.start()
                started.append(thread)
            with gc_paused(), pin_to_core(self.core):
                self.projector.run(stop)
        finally:
            for thread in started:
                thread.end()
            for thread in started:
                thread.join(3.0)


def build_projector(
    settings: Settings, own: ProjectorSettings, wall_clock: WallClock | None = None
) -> ProjectorService:
    """Return a projector of `settings`.

    Raises `StoreError` for an invalid database URL, `PublicKeysUnusable` for a wrong file of public keys.
    """
    limit_malloc_arenas()
    url = settings.database_url.get_secret_value()
    require_database_url(url)
    kafka, topic = settings.kafka, settings.kafka.topics.actions
    application = f"stumble-projector@{socket.gethostname()}:{os.getpid()}"
    health, state_log, notices = ProjectorHealth(own.stuck_after), StateLog(LOG), HostNotices(LOG)
    resolver = None
    if kafka.schema_registry_url:
        resolver = SchemaResolver(Registry(kafka).resolve, partial(health.dependency, "registry"), LOG)
    resolve = resolver.resolve if resolver else None

    consumer = TopicConsumer(kafka, topic, own.group)
    partitions = EventPartitions(own.events_days)
    store_writer = StoreWriter(
        topic, "", partitions, requests_days=own.requests_days, sighting_patience_seconds=own.sighting_patience
    )
    open_store = partial(connect_writer, url, application)
    writer_stop = threading.Event()
    breaker = CircuitBreaker(own.breaker_run, own.breaker_share)
    dead_letters = UniqueDeadLetterProducer(kafka, own.group, partial(health.dependency, "dead_letter_topic"))
    first, second = (
        BatchWriter(
            StoreSession(open_store, topic, writer_stop, health, state_log),
            store_writer,
            dead_letters,
            breaker,
            health,
            state_log,
            notices,
        )
        for _ in range(2)
    )
    clock = Clock(url, settings.clock, consumer.end_offsets, application, wall_clock)
    bridged_hosts = BridgedHosts()
    maintenance = Maintenance(
        url,
        own,
        application,
        DeadLetterCount(kafka),
        health,
        state_log,
        bridged_hosts,
        TopicRetention(kafka, topic),
    )
    ends = TopicEnds(consumer.end_offsets, health, LOG)
    projector = Projector(
        consumer=consumer,
        start_offsets=StartOffsets(url, application, consumer, store_writer, state_log),
        collector=BatchCollector(
            EventDecoder(resolve, verifier_of(kafka.public_keys_file)),
            bridged_hosts,
            own.max_batch,
            own.max_batch_bytes,
            SignatureRejections(health, LOG),
            DecodingMark(settings.state_dir, topic, state_log),
        ),
        partitions=AssignedPartitions(),
        writer=WriteThread(first, second, writer_stop),
        breaker=breaker,
        clock=clock,
        ends=ends,
        client_errors=ClientErrors(state_log, kafka.bootstrap_servers),
        health=health,
        state_log=state_log,
    )
    rejections = SignatureRejections(health, LOG)
    mark = DecodingMark(settings.state_dir, kafka.topics.producers, state_log)
    status_reader = ProducerStatusReader(settings, own.group, resolve, notices, rejections, mark)
    watch = StoreWatch(partial(connect, url, application=application), topic, health, LOG)
    background = [maintenance, status_reader, clock, watch, *([resolver] if resolver else [])]
    health.watch_threads([ends, *background])
    return ProjectorService(projector, maintenance, ends, background, health, own.core)
