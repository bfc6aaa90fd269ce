"""The relay's loop: read every folder in turn, send, move cursors when the broker has acknowledged, clean up."""

from __future__ import annotations

import errno
import time
from importlib import metadata
from pathlib import Path

import structlog
from confluent_kafka import KafkaError
from prometheus_client import CollectorRegistry

from stumble.producers.outbox import Chunk, Cursor, Record
from stumble.producers.outbox.folder import RELAY
from stumble.producers.outbox.reader import NewerFormat
from stumble.producers.relay import aside
from stumble.producers.relay.announcer import Announcer
from stumble.producers.relay.cursors import CursorFile
from stumble.producers.relay.feed import Feed
from stumble.producers.relay.feeds import Feeds
from stumble.producers.relay.flight import Flight
from stumble.producers.relay.framing import Framed, Framer
from stumble.producers.relay.metrics import RelayMetrics
from stumble.producers.relay.sender import Sender, explain
from stumble.producers.relay.singleton import claim
from stumble.producers.relay.trouble import Troubles
from stumble.schemas.models.settings import Settings
from stumble.schemas.wire.errors import StumbleError

LOG = structlog.get_logger("stumble.relay")

_MOST_IN_FLIGHT = 16 << 20
_SAVE_S = 1.0
_SHOW_S = 2.0
_BUSY_POLL_S, _IDLE_POLL_S = 0.005, 0.02
_STOP_S = 5.0
_PATIENCE_S = 10.0
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Relay:
    """Delivers the outboxes below ``settings.outbox_dir``. Raises ``AlreadyRunning`` and ``OutboxUnusable``."""

    def __init__(self, settings: Settings, *, status_interval: float = 30.0) -> None:
        directory = Path(settings.outbox_dir)
        self.folder = directory / RELAY
        self._lock = claim(self.folder)
        self._topic = settings.kafka.topics.actions
        self._troubles = Troubles()
        self._cursors = CursorFile(self.folder / "cursors")
        self._sender = Sender(settings.kafka, lambda text: self._troubles.begin("kafka", text))
        self._framer = Framer(settings.kafka)
        self.registry = CollectorRegistry()
        self._metrics = RelayMetrics(self.registry)
        self._announcer = Announcer(settings, self._framer, self._sender, version(), status_interval)
        self._feeds = Feeds(
            directory, self._cursors.load(), self._troubles, self._announcer.last_word, self._announcer.forgotten
        )
        self._settings = settings
        self._seen_sent, self._answered_at = 0, 0.0
        self._stopping = False
        self._dirty = False
        self._save_at = self._show_at = self._busy_until = 0.0

    def stop(self) -> None:
        """Let ``run`` end soon: nothing new is read, what is on its way may still arrive."""
        self._stopping = True

    def run(self) -> None:
        """Deliver until ``stop``."""
        while not self._stopping:
            self.turn()
        self._finish()

    def turn(self) -> None:
        """Go round once: discover, read, send, settle, save."""
        now = time.monotonic()
        feeds = self._feeds.current(now)
        read = sum([self._pump(feed, now) for feed in feeds])
        if read:
            self._busy_until = now + 1.0
        served = self._sender.poll(0 if read else _BUSY_POLL_S if now < self._busy_until else _IDLE_POLL_S)
        if served or read:
            self._settle(now)
        if self._sender.broken:
            self._renew(now)
        if now >= self._save_at and (self._dirty or self._feeds.finished(now)):
            self._save(now)
        if now >= self._show_at:
            self._show_at = now + _SHOW_S
            self._settle(now)
            self._watch(now)
            self._metrics.show(feeds, waiting=bool(self._troubles.about("kafka")))
        self._announcer.turn(now, feeds)

    def _pump(self, feed: Feed, now: float) -> bool:
        """Send one folder's next chunk; what goes wrong with a folder stops this folder only."""
        if self._feeds.in_flight >= _MOST_IN_FLIGHT:
            return False
        try:
            chunk = feed.read(now)
        except (OSError, NewerFormat) as error:
            self._troubles.begin(feed.place.key, str(error))
            feed.wait(now)
            return False
        if chunk is None:
            return False
        chunk, framed, trouble = self._frame(feed, chunk)
        if trouble:
            self._troubles.begin(feed.place.key, trouble)
            if not framed:
                feed.wait(now)
                return False
        else:
            self._troubles.end(feed.place.key)
        flight = Flight(chunk)
        feed.take_off(flight)
        for ready in framed:
            self._send(flight, ready)
        return True

    def _frame(self, feed: Feed, chunk: Chunk) -> tuple[Chunk, list[Framed], str]:
        """Frame a chunk's records up to the first that can't be now; the chunk then ends before that one."""
        framed: list[Framed] = []
        for record in chunk.records:
            try:
                framed.append(self._framer.frame(self._topic, feed.place.path, record))
            except StumbleError as error:
                end = Cursor(chunk.start.segment, record.offset)
                damages = [damage for damage in chunk.damages if damage.offset < record.offset]
                cut = chunk._replace(end=end, records=chunk.records[: len(framed)], damages=damages)
                return cut, framed, str(error)
        return chunk, framed, ""

    def _send(self, flight: Flight, framed: Framed, *, alone: bool = False) -> None:
        while True:
            try:
                error = self._sender.send(self._topic, framed, flight.delivered, alone=alone)
                break
            except BufferError:
                self._sender.poll(_IDLE_POLL_S)
        if error is None:
            flight.open += 1
        else:
            flight.refuse(framed.value or b"", error)

    def _settle(self, now: float) -> None:
        for feed in self._feeds.all():
            while (flight := feed.landed(now)) is not None and self._land(feed, flight, now):
                pass

    def _land(self, feed: Feed, flight: Flight, now: float) -> bool:
        """Judge a chunk whose deliveries are settled; False where the feed has to wait."""
        if flight.problem is not None:
            self._troubles.begin("kafka", explain(flight.problem, self._topic))
            if feed.on_their_way():
                return False
            feed.again(now)
            return False
        try:
            if flight.refused and not flight.alone:
                self._send_alone(feed, flight)
                return False
            refused = self._set_aside(feed, flight)
            quarantined = self._quarantine(feed, flight)
        except OSError as error:
            self._troubles.begin(feed.place.key, f"{self.folder} can't be written to: {error.strerror}")
            feed.wait(now)
            return False
        sent = flight.acknowledged
        if sent + refused != flight.count:  # whatever the reason: nothing passes that wasn't accounted for
            self._troubles.begin("kafka", f"{flight.count - sent - refused} events were not acknowledged")
            feed.again(now)
            return False
        feed.complete(set_aside=refused, quarantined=quarantined, sent=sent)
        self._dirty = True
        self._metrics.sent.inc(sent)
        if sent:
            self._announcer.sent += sent
            self._metrics.progressed()
            self._troubles.end("kafka")
        return True

    def _send_alone(self, feed: Feed, flight: Flight) -> None:
        """Find out which records are to blame: a broker refuses a batch as a whole."""
        doubtful = self._refused(feed, flight)
        flight.refused, flight.alone = {}, True
        for _, framed, _ in doubtful:
            self._send(flight, framed, alone=True)

    def _refused(self, feed: Feed, flight: Flight) -> list[tuple[Record, Framed, KafkaError]]:
        """Return the records of a chunk that were refused. Raises ``OSError`` where one of them isn't found again."""
        found = []
        for record in feed.records_of(flight):
            framed = self._framer.frame(self._topic, feed.place.path, record)
            if framed.value in flight.refused:
                found.append((record, framed, flight.refused[framed.value]))
        if {framed.value for _, framed, _ in found} != flight.refused.keys():
            raise OSError(errno.EIO, "a refused record isn't found again in its segment")
        return found

    def _set_aside(self, feed: Feed, flight: Flight) -> int:
        if not flight.refused:
            return 0
        refused = [(record, error.str()) for record, _, error in self._refused(feed, flight)]
        aside.set_aside(self.folder, feed.place.key, flight.chunk.start.segment, refused)
        self._metrics.set_aside.inc(len(refused))
        LOG.warning(
            "set aside",
            events=len(refused),
            folder=feed.place.key,
            reason=refused[0][1],
            see="stumble outbox ls",
        )
        return len(refused)

    def _quarantine(self, feed: Feed, flight: Flight) -> int:
        damages = flight.chunk.damages
        if damages:
            aside.quarantine(self.folder, feed.place.key, damages)
            self._metrics.quarantined.inc(len(damages))
            LOG.warning(
                "damaged bytes put into quarantine",
                places=len(damages),
                bytes=sum(len(damage.data) for damage in damages),
                folder=feed.place.key,
                kept_in=str(self.folder / aside.QUARANTINE),
            )
        return len(damages)

    def _renew(self, now: float) -> None:
        LOG.warning("starting a new Kafka producer", reason="the old one met an error that it can't survive")
        self._sender.renew()
        for feed in self._feeds.all():
            feed.again(now)

    def _save(self, now: float) -> None:
        """Sync the cursors, then take away what lies behind them."""
        self._save_at = now + _SAVE_S
        try:
            self._cursors.save(self._feeds.progress())
            self._troubles.end("cursors")
        except OSError as error:
            self._troubles.begin("cursors", f"{self.folder} can't be written to: {error.strerror}")
            if error.errno not in _NO_ROOM:
                return
            # Delivered segments make the room. The older cursor on disk leads to the next segment: nothing is lost.
        self._dirty = False
        self._feeds.clean_up(now)

    def _watch(self, now: float) -> None:
        """Tell of a broker that takes what it is sent and never answers."""
        on_their_way = self._feeds.on_their_way()
        if not on_their_way or self._announcer.sent != self._seen_sent:
            self._seen_sent, self._answered_at = self._announcer.sent, now
        elif now - self._answered_at > _PATIENCE_S and not self._troubles.about("kafka"):
            servers = self._settings.kafka.bootstrap_servers
            self._troubles.begin("kafka", f"Kafka at {servers} has not answered for {_PATIENCE_S:.0f} seconds")

    def _finish(self) -> None:
        deadline = time.monotonic() + _STOP_S
        while self._feeds.on_their_way() and (now := time.monotonic()) < deadline and not self._troubles.about("kafka"):
            self._sender.poll(_IDLE_POLL_S)
            self._settle(now)
        now = time.monotonic()
        self._settle(now)
        self._save(now)
        left = self._feeds.on_their_way()
        LOG.info("stopped", sent=self._announcer.sent, unacknowledged=left)
        self._cursors.close()
        self._lock.close()


def version() -> str:
    """Return the version of stumble."""
    try:
        return metadata.version("stumble")
    except metadata.PackageNotFoundError:
        return "0"
