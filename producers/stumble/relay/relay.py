"""The relay's loop: read every folder in turn, send, move cursors when the broker has acknowledged, clean up."""

from __future__ import annotations

import errno
import time
from importlib import metadata
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from stumble.outbox.folders import RELAY
from stumble.relay.announcer import Announcer
from stumble.relay.cursors import CursorFile
from stumble.relay.delivery import ChunkDelivery
from stumble.relay.framing import Framer
from stumble.relay.metrics import RelayMetrics
from stumble.relay.outbox_tails import OutboxTails
from stumble.relay.sender import KafkaSender
from stumble.relay.singleton import claim, network_file_system
from stumble.relay.state_log import RelayStateLog
from stumble.settings.base import Settings

LOG = structlog.get_logger("stumble.relay")

_SAVE_S = 1.0
_SHOW_S = 2.0
_BUSY_POLL_S, _IDLE_POLL_S = 0.005, 0.02
_STOP_S = 5.0
_PATIENCE_S = 10.0
#: No turn takes so long, unless a file system or the client library hangs.
_STUCK_S = 120.0
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Relay:
    """Delivers the outboxes below ``settings.outbox_dir``. Raises ``AlreadyRunning`` and ``OutboxUnusable``."""

    def __init__(self, settings: Settings, *, status_interval: float = 30.0) -> None:
        directory = Path(settings.outbox_dir)
        self.folder = directory / RELAY
        self._lock = claim(self.folder)
        self._troubles = RelayStateLog()
        if kind := network_file_system(directory):
            LOG.warning("outbox on a network file system", type=kind, do="move it to a local disk")
        self._cursors = CursorFile(self.folder / "cursors")
        self._sender = KafkaSender(settings.kafka, lambda text: self._troubles.begin("kafka", text))
        self._framer = Framer(settings.kafka)
        self.registry = CollectorRegistry()
        self._metrics = RelayMetrics(self.registry)
        self._announcer = Announcer(settings, self._framer, self._sender, self._troubles, version(), status_interval)
        self._feeds = OutboxTails(
            directory, self._cursors.load(), self._troubles, self._announcer.last_word, self._announcer.forgotten
        )
        self._courier = ChunkDelivery(
            settings.kafka.topics.actions,
            self.folder,
            self._feeds,
            self._sender,
            self._framer,
            self._metrics,
            self._troubles,
        )
        self._settings = settings
        self._seen_sent, self._answered_at = 0, 0.0
        self._stopping = False
        self._turned_at = time.monotonic()
        self._save_at = self._show_at = self._busy_until = 0.0

    def stop(self) -> None:
        """Let ``run`` end soon: nothing new is read, what is on its way may still arrive."""
        self._stopping = True

    def run(self) -> None:
        """Deliver until ``stop``."""
        while not self._stopping:
            self.turn()
        self._finish()

    def live(self) -> tuple[bool, str]:
        """Tell whether the loop goes round; a broker or a disk that is away doesn't stop it."""
        age = time.monotonic() - self._turned_at
        return age < _STUCK_S, f"went round {age:.0f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Tell whether Kafka takes what it is sent."""
        waits = bool(self._troubles.about("kafka"))
        return not waits, "waits for Kafka" if waits else "delivers"

    def turn(self) -> None:
        """Go round once: discover, read, send, settle, save."""
        now = self._turned_at = time.monotonic()
        feeds = self._feeds.current(now)
        read = sum([self._courier.pump(feed, now) for feed in feeds])
        if read:
            self._busy_until = now + 1.0
        served = self._sender.poll(0 if read else _BUSY_POLL_S if now < self._busy_until else _IDLE_POLL_S)
        if served or read:
            self._courier.settle(now)
        if self._sender.broken:
            self._renew(now)
        if now >= self._save_at and (self._courier.moved or self._feeds.finished(now)):
            self._save(now)
        if now >= self._show_at:
            self._show_at = now + _SHOW_S
            self._courier.settle(now)
            self._watch(now)
            self._metrics.show(feeds, waiting=bool(self._troubles.about("kafka")))
        self._announcer.turn(now, feeds, self._courier.sent)

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
        self._courier.moved = False
        self._feeds.clean_up(now)

    def _watch(self, now: float) -> None:
        """Tell of a broker that takes what it is sent and never answers."""
        on_their_way = self._feeds.on_their_way()
        if not on_their_way or self._courier.sent != self._seen_sent:
            self._seen_sent, self._answered_at = self._courier.sent, now
        elif now - self._answered_at > _PATIENCE_S and not self._troubles.about("kafka"):
            servers = self._settings.kafka.bootstrap_servers
            self._troubles.begin("kafka", f"Kafka at {servers} has not answered for {_PATIENCE_S:.0f} seconds")

    def _finish(self) -> None:
        deadline = time.monotonic() + _STOP_S
        while self._feeds.on_their_way() and (now := time.monotonic()) < deadline and not self._troubles.about("kafka"):
            self._sender.poll(_IDLE_POLL_S)
            self._courier.settle(now)
        now = time.monotonic()
        self._courier.settle(now)
        self._save(now)
        left = self._feeds.on_their_way()
        LOG.info("stopped", sent=self._courier.sent, unacknowledged=left)
        self._cursors.close()
        self._lock.close()


def version() -> str:
    """Return the version of stumble."""
    try:
        return metadata.version("stumble")
    except metadata.PackageNotFoundError:
        return "0"
