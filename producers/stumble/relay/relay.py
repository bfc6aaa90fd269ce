"""The relay's loop: read every folder in turn, send, move cursors when the broker has acknowledged, clean up."""

from __future__ import annotations

import errno
import logging
import time
from importlib import metadata
from pathlib import Path

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
from stumble.runtime.state_log import StateLog
from stumble.settings.base import Settings

LOG = logging.getLogger(__name__)

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
        self._state_log = StateLog(LOG)
        if kind := network_file_system(directory):
            LOG.warning("The outbox %s is on a network file system (%s): move it to a local disk.", directory, kind)
        self._cursors = CursorFile(self.folder / "cursors")
        self._sender = KafkaSender(
            settings.kafka, lambda text: self._state_log.say("kafka", f"{text}; events wait in the outboxes.")
        )
        self._framer = Framer(settings.kafka)
        self.registry = CollectorRegistry()
        self._metrics = RelayMetrics(self.registry)
        self._announcer = Announcer(settings, self._framer, self._sender, self._state_log, version(), status_interval)
        self._tails = OutboxTails(
            directory,
            self._cursors.load(),
            self._state_log,
            self._announcer.report_ended,
            self._announcer.report_forgotten,
        )
        self._delivery = ChunkDelivery(
            settings.kafka.topics.actions,
            self.folder,
            self._tails,
            self._sender,
            self._framer,
            self._metrics,
            self._state_log,
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
            self.run_once()
        self._finish()

    def live(self) -> tuple[bool, str]:
        """Return whether the loop runs; a broker or a disk that does not answer doesn't stop it."""
        age = time.monotonic() - self._turned_at
        return age < _STUCK_S, f"last loop {age:.0f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Tell whether Kafka takes what it is sent."""
        waits = bool(self._state_log.get("kafka"))
        return not waits, "waiting for Kafka" if waits else "delivering"

    def run_once(self) -> None:
        """Go round once: discover, read, send, settle, save."""
        now = self._turned_at = time.monotonic()
        tails = self._tails.current(now)
        read = sum([self._delivery.send_next_chunk(tail, now) for tail in tails])
        if read:
            self._busy_until = now + 1.0
        served = self._sender.poll(0 if read else _BUSY_POLL_S if now < self._busy_until else _IDLE_POLL_S)
        if served or read:
            self._delivery.settle(now)
        if self._sender.broken:
            self._renew(now)
        if now >= self._save_at and (self._delivery.moved or self._tails.removable(now)):
            self._save(now)
        if now >= self._show_at:
            self._show_at = now + _SHOW_S
            self._delivery.settle(now)
            self._watch(now)
            self._metrics.show(tails, waiting=bool(self._state_log.get("kafka")))
        self._announcer.run_once(now, tails, self._delivery.sent)

    def _renew(self, now: float) -> None:
        LOG.warning(
            "The Kafka producer failed for good; a new one is started and sends again what was not acknowledged."
        )
        self._sender.renew()
        for tail in self._tails.all():
            tail.rewind(now)

    def _save(self, now: float) -> None:
        """Sync the cursors, then take away what lies behind them."""
        self._save_at = now + _SAVE_S
        try:
            self._cursors.save(self._tails.progress())
            self._state_log.over("cursors", f"{self.folder} can be written to again.")
        except OSError as error:
            self._state_log.say("cursors", f"{self.folder} can't be written to: {error.strerror}.")
            if error.errno not in _NO_ROOM:
                return
            # Delivered segments make the room. The older cursor on disk leads to the next segment: nothing is lost.
        self._delivery.moved = False
        self._tails.clean_up(now)

    def _watch(self, now: float) -> None:
        """Tell of a broker that takes what it is sent and never answers."""
        open_deliveries = self._tails.open_deliveries()
        if not open_deliveries or self._delivery.sent != self._seen_sent:
            self._seen_sent, self._answered_at = self._delivery.sent, now
        elif now - self._answered_at > _PATIENCE_S and not self._state_log.get("kafka"):
            servers = self._settings.kafka.bootstrap_servers
            self._state_log.say("kafka", f"Kafka at {servers} has not answered for {_PATIENCE_S:.0f} seconds.")

    def _finish(self) -> None:
        deadline = time.monotonic() + _STOP_S
        while (
            self._tails.open_deliveries() and (now := time.monotonic()) < deadline and not self._state_log.get("kafka")
        ):
            self._sender.poll(_IDLE_POLL_S)
            self._delivery.settle(now)
        now = time.monotonic()
        self._delivery.settle(now)
        self._save(now)
        left = self._tails.open_deliveries()
        LOG.info("Stopped after %d events; %d were not acknowledged and are sent again.", self._delivery.sent, left)
        self._cursors.close()
        self._lock.close()


def version() -> str:
    """Return the version of stumble."""
    try:
        return metadata.version("stumble")
    except metadata.PackageNotFoundError:
        return "0"
