"""The reading half of the projector: takes records from Kafka, decodes them, hands batches to the writer.

While the writer works, the next batch grows: large under load, small when calm, and a batch is handed over as soon
as the writer is free.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import psycopg
from confluent_kafka import KafkaError, KafkaException

from stumble.clock.clock import Clock
from stumble.deadletters.producer import DeadLetterCount, DeadLetterProducer
from stumble.ingest.batch import BadRecord, Batch
from stumble.ingest.decoding import EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.ingest.transaction import ALL_SIGHTINGS, StoreWriter
from stumble.kafka.client_errors import ClientErrors
from stumble.kafka.consumer import TopicConsumer
from stumble.projector.breaker import CircuitBreaker
from stumble.projector.health import ProjectorHealth
from stumble.projector.maintenance import Maintenance
from stumble.projector.offsets import Place, beyond, expired, impossible, place
from stumble.projector.positions import AssignedPartitions, Blocked
from stumble.projector.producer_statuses import ProducerStatusReader
from stumble.projector.write_thread import StoppedError, SweepJob, WriteResult, WriteThread
from stumble.runtime.affinity import pin_to_core
from stumble.runtime.gc_pause import gc_paused, limit_malloc_arenas
from stumble.runtime.state_log import StateLog
from stumble.runtime.timers import Timers
from stumble.settings.registry import Registry
from stumble.store.connect import StoreError, connect, shown
from stumble.store.partitions import EventPartitions
from stumble.wire.errors import RegistryUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from confluent_kafka import Message

    from stumble.clock.wall_clock import WallClock
    from stumble.ingest.decisions import DecisionJob
    from stumble.projector.settings import ProjectorSettings
    from stumble.settings.base import Settings

LOG = logging.getLogger("stumble.projector")
_IDLE_POLL = 0.1
_BUSY_POLL = 0.01
#: Backpressure for longer pauses the consumer, which throws away what it has fetched ahead.
_PAUSE_AFTER = 1.0
_SWEEP_EVERY = _HINT_EVERY = 1.0
_SWEEP_WINDOW = 300.0
_LOOK_EVERY = 2.0
_TOPIC_EVERY = 15.0
_GARBAGE_EVERY = 30.0
_REVOKE_WAIT = 3.0


class Projector:
    """Reads `instance-actions` into the store until told to stop."""

    def __init__(self, settings: Settings, own: ProjectorSettings, times: WallClock | None = None) -> None:
        limit_malloc_arenas()
        self._own, self._url = own, settings.database_url.get_secret_value()
        self._topic = settings.kafka.topics.actions
        self._application = f"stumble-projector@{socket.gethostname()}:{os.getpid()}"
        self.health = ProjectorHealth(own.stuck_after)
        self._notices = StateLog(LOG)
        resolve = Registry(settings.kafka).resolve if settings.kafka.schema_registry_url else None
        self._reader = EventDecoder(resolve)
        self._kafka = settings.kafka
        self._troubles = ClientErrors(self._notices, settings.kafka.bootstrap_servers)
        self._source = self._open()
        self._ledger = StoreWriter(
            self._topic,
            "",
            EventPartitions(own.events_days),
            requests_days=own.requests_days,
            sighting_patience_seconds=own.sighting_patience,
        )
        letters = DeadLetterProducer(settings.kafka, own.group)
        self._breaker = breaker = CircuitBreaker(own.breaker_run, own.breaker_share)
        self._writer = WriteThread(
            self._url, self._ledger, letters, breaker, self.health, self._notices, self._application
        )
        self._statuses = ProducerStatusReader(settings, own.group, resolve)
        self._upkeep = Maintenance(self._url, own, self._application, DeadLetterCount(settings.kafka), self.health)
        self._clock = Clock(self._url, settings.clock, self._ends, self._application, times)
        self._pending, self._pending_bytes = Batch(), 0
        self._at = AssignedPartitions()
        self._submitted_at = 0.0
        self._paused = False
        #: The first sweep after an assignment looks at all sightings, the others at recent ones.
        self._window = ALL_SIGHTINGS
        self._timers = Timers()

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set; raises `StumbleError` for what only a person can mend."""
        shown(self._url)  # no address at all is nothing to wait for
        if not self._upkeep.prepare(stop, self._notices, self.health):
            return
        self._writer.start()
        self._upkeep.start()
        self._statuses.start()
        self._clock.start()
        self._source.subscribe()
        with gc_paused(), pin_to_core(self._own.core):
            try:
                while not stop.is_set():
                    self._turn()
            finally:
                self._close()

    def _ends(self, partitions: Iterable[int]) -> Mapping[int, int] | None:
        return self._source.ends(partitions)  # the source of now: it may be made anew

    def _open(self) -> TopicConsumer:
        return TopicConsumer(
            self._kafka, self._topic, self._own.group,
            place=self._placed, lost=self._lost, trouble=self._troubles.hear, keep=self._kept,
        )  # fmt: skip

    def _turn(self) -> None:
        self._troubles.require_none()
        self._take_all()
        full = len(self._pending) >= self._own.max_batch or self._pending_bytes >= self._own.max_batch_bytes
        if full and not self._writer.idle:
            self._hold_back()
        else:
            self._let_go()
            busy = bool(self._pending) or not self._writer.idle
            room = max(1, self._own.max_batch - len(self._pending))
            self._read(self._source.poll(room, _BUSY_POLL if busy else _IDLE_POLL))
        if self._writer.idle:
            self._take_all()  # it may have ended since: a job must start from where the last one left the store
            self._hand_over()
        self._look_after()

    def _hand_over(self) -> None:
        if (found := self._clock.job(self._at.reading)) is not None:
            self._submit(found)
        elif self._pending:
            job, self._pending, self._pending_bytes = self._pending, Batch(), 0
            self._submit(job)
        elif self._at.stored and self._timers.due("sweep", _SWEEP_EVERY):
            positions = self._at.reading()
            if positions:
                self._submit(SweepJob(positions, self._window))
                self._window = _SWEEP_WINDOW

    def _submit(self, job: Batch | SweepJob | DecisionJob) -> None:
        self._submitted_at = time.monotonic()
        self._writer.submit(job)

    def _read(self, messages: Sequence[Message]) -> None:
        sought: set[int | None] = set()
        for message in messages:
            if (error := message.error()) is not None:
                self._kafka_error(error, message)
            elif message.partition() not in sought and not self._read_one(message):
                sought.add(message.partition())
        if messages and self._notices:
            self._troubles.over()

    def _read_one(self, message: Message) -> bool:
        """Take a record; False where its partition is read anew, so that what else came of it is not what is next."""
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None or partition in self._at.blocked:
            return True
        taken = self._at.taken.get(partition)
        if taken is None or offset < taken:
            return True
        gap = self._at.skips(partition, offset)
        if gap is not None and not self._is_gap(partition, gap):
            return False
        value = message.value()
        try:
            self._pending.readings.append(self._reader.read(message, value or b"", partition, offset))
        except BadRecordError as error:
            self._pending.bad.append(BadRecord(message, partition, offset, error))
        except RegistryUnavailable as error:
            self._block(partition, str(error))
            return True
        self._at.times[partition] = message.timestamp()[1]
        self._pending.extend(partition, taken, offset, self._at.times[partition])
        self._pending_bytes += len(value or b"")
        self._at.taken[partition] = offset + 1
        return True

    def _take_all(self) -> None:
        while not self._writer.results.empty():
            self._take(self._writer.results.get())

    def _is_gap(self, partition: int, gap: tuple[int, int]) -> bool:
        """Tell whether the topic holds nothing there: only if it says so again when it is asked again."""
        if self._at.gaps.get(partition) == gap:
            LOG.warning("Partition %s of %s holds nothing from %s up to %s.", partition, self._topic, *gap)
            return True
        self._at.gaps[partition] = gap
        self._source.go_to(partition, self._at.taken, self._at.blocked)
        return False

    def _take(self, result: WriteResult) -> None:
        """Take in what became of a job."""
        if isinstance(result.error, StoppedError):
            return
        if result.error is not None:
            raise result.error
        if result.decided is not None:
            self._clock.decided(result.decided, fenced=bool(result.fenced))
        if result.applied is not None:
            self._at.stored.update((p, o) for p, o in result.applied.offsets.items() if p in self._at.stored)
            self.health.applied(result.applied, time.monotonic() - self._submitted_at)
        if result.fenced:
            self.health.fenced(len(result.fenced))
            LOG.warning("Partitions %s are written by another projector: reading them anew.", sorted(result.fenced))
            self._reread(result.fenced)
        for partition, (_, reason) in result.blocked.items():
            self._block(partition, f"Partition {partition} of {self._topic} stands still: {reason}.")

    def _block(self, partition: int, reason: str | None) -> None:
        """Let a partition stand still for a while, for a reason of its own if it has one; none of it is passed over."""
        self._pending.drop([partition])
        self._source.pause([partition])
        self._hold(partition, reason)
        self._standing()

    def _hold(self, partition: int, reason: str | None) -> None:
        self._at.hold(partition, reason)
        if reason is not None:  # that store or broker are away is said once and not for each partition
            self._notices.say(f"partition-{partition}", reason)

    def _reread(self, partitions: Iterable[int]) -> None:
        """Go back to where the store is; what the store can't tell now is asked again later."""
        ours = [partition for partition in partitions if partition in self._at.taken]
        self._pending.drop(ours)
        for partition, found in self._ask(ours).items():
            if found.offset is None:
                self._block(partition, found.blocked)
            else:
                self._at.place(partition, found.offset)
                self._source.go_to(partition, self._at.taken, self._at.blocked)

    def _retry_blocked(self) -> None:
        due = self._at.due()
        self._reread(due)
        for partition, blocked in due.items():
            if partition in self._at.blocked:
                continue
            if self._still_expired(partition, blocked):
                self._block(partition, blocked.reason)
                continue
            self._source.resume([partition])
            self._notices.over(f"partition-{partition}", f"Partition {partition} of {self._topic} is read again.")
        if due:
            self._standing()

    def _still_expired(self, partition: int, blocked: Blocked) -> bool:
        """Ask the broker: what the client says of an offset may be about one that it was at before."""
        stored = self._at.stored[partition]
        if blocked.reason == expired(self._topic, partition, stored):
            return not self._source.has(partition, stored)
        # A topic that has grown as far again holds something else there than what was to be read.
        return blocked.reason == beyond(self._topic, partition, stored)

    def _kafka_error(self, error: KafkaError, message: Message) -> None:
        code, partition, taken = error.code(), message.partition(), self._at.taken
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):  # noqa: SLF001
            if partition is not None and partition in taken:
                self._block(partition, impossible(self._topic, partition, taken[partition], self._ends([partition])))
        elif code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):  # noqa: SLF001
            self._notices.say("topic", f"There is no topic {self._topic}: create it by `stumble topics apply`.")
        else:
            self._troubles.hear(error)

    def _placed(self, partitions: list[int]) -> Mapping[int, int | None]:
        """Say where newly assigned partitions are read from."""
        self._notices.over("topic", f"The topic {self._topic} is there.")
        self._window = ALL_SIGHTINGS
        self._paused = False  # what is assigned is read at once
        found = self._ask(partitions)
        for partition, where in found.items():
            self._at.place(partition, where.offset or 0)
            self._breaker.placed(partition, where.offset or 0)
            if where.offset is None:
                self._hold(partition, where.blocked)
        self._standing()
        LOG.info("Reading partitions %s of %s.", sorted(self._at.taken), self._topic)
        return {partition: where.offset for partition, where in found.items()}

    def _kept(self, partitions: list[int]) -> Mapping[int, int]:
        """Say where to read on from without a group that nobody hears; nowhere where it's we who were away."""
        if not self._troubles.unheard:
            return {}
        LOG.warning("The group was not heard for a session: partitions are read on until it gives them out anew.")
        return {p: self._at.taken[p] for p in partitions if p in self._at.taken and p not in self._at.blocked}

    def _lost(self, partitions: list[int]) -> None:
        """Forget partitions that are no longer ours; a batch in hand may end, the store refuses it otherwise."""
        self._pending.drop(partitions)
        self._writer.wait(_REVOKE_WAIT)
        self._take_all()
        self._hint()
        self._at.forget(partitions)
        self._standing()

    def _ask(self, partitions: list[int]) -> dict[int, Place]:
        """Ask the store and the topic where partitions are to be read from."""
        if not partitions:
            return {}
        try:
            topic_id = self._source.topic_id()
            if topic_id is None:
                return dict.fromkeys(partitions, Place(None))
            self._ledger.topic_id = topic_id
            with connect(self._url, application=self._application) as connection:
                found = place(connection, self._topic, topic_id, partitions, self._source.low_watermark)
        except KafkaException as error:
            self._notices.say("place", f"Kafka can't say yet where {self._topic} begins: {error.args[0].str()}.")
            return dict.fromkeys(partitions, Place(None))
        except (StoreError, psycopg.Error) as error:
            self._notices.say("place", f"{str(error).strip()} Reading waits.")
            return dict.fromkeys(partitions, Place(None))
        else:
            self._notices.over("place", f"It is known where to read {self._topic}: reading goes on.")
            return found
        finally:
            self._timers.put_off("topic", _TOPIC_EVERY)

    def _hold_back(self) -> None:
        """Wait for a writer that is behind; for long, let Kafka see that we live without fetching more."""
        if self._writer.wait(0.05):
            return
        if not self._paused and time.monotonic() - self._submitted_at > _PAUSE_AFTER:
            self._source.pause(self._at.taken)
            self._paused = True
        if self._paused:
            self._read(self._source.poll(1, 0))

    def _let_go(self) -> None:
        if self._paused:
            self._source.resume([p for p in self._at.taken if p not in self._at.blocked])
            self._paused = False

    def _look_after(self) -> None:
        self.health.turned(nothing_to_do=not self._pending and self._writer.idle)
        if self._at.blocked:
            self._retry_blocked()
        if self._timers.due("hint", _HINT_EVERY):
            self._hint()
            self._clock.at(self._at.reading())
        if self._timers.due("look", _LOOK_EVERY):
            self._measure()
            self.health.report_watermarks(self._clock.watermarks)
        if self._timers.due("topic", _TOPIC_EVERY):
            self._recognise()
        if self._timers.due("garbage", _GARBAGE_EVERY):
            gc.collect()

    def _recognise(self) -> None:
        """Notice a topic that was deleted and made anew: only a new client reads the new one."""
        topic_id = self._source.topic_id()
        if topic_id is not None and self._ledger.topic_id not in ("", topic_id):
            self._source.close()
            self._source = self._open()
            self._source.subscribe()

    def _measure(self) -> None:
        now = time.time()
        for partition, stored in self._at.stored.items():
            high = self._source.high_watermark(partition)
            waiting = max(0, high - stored) if high is not None else 0
            since = self._at.times.get(partition)
            self.health.lag(partition, max(0.0, now - since / 1000) if waiting and since else 0.0, waiting)

    def _hint(self) -> None:
        self._source.hint(self._at.reading())

    def _standing(self) -> None:
        self.health.standing(set(self._at.taken), {p: blocked.reason for p, blocked in self._at.blocked.items()})

    def _close(self) -> None:
        for part in (self._writer, self._upkeep, self._statuses, self._clock):
            part.end()
        self._writer.join(_REVOKE_WAIT + 5)
        while not self._writer.results.empty():
            result = self._writer.results.get()
            if result.applied is not None:
                self._at.stored.update(result.applied.offsets)
        self._hint()
        self._source.close()
        self._statuses.join(_REVOKE_WAIT)
