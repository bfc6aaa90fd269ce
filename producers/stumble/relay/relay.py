"""The relay's loop: read every folder, send, move cursors after acknowledgements, clean up."""

from __future__ import annotations

import errno
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from stumble.relay.announcer import Announcer
    from stumble.relay.cursors import CursorFile
    from stumble.relay.delivery import ChunkDelivery
    from stumble.relay.metrics import RelayMetrics
    from stumble.relay.outbox_tails import OutboxTails
    from stumble.relay.sender import KafkaSender
    from stumble.relay.singleton import OutboxClaim
    from stumble.runtime.state_log import StateLog

LOG = logging.getLogger(__name__)

_SAVE_S = 1.0
_LOOK_S = 0.1
_SHOW_S = 2.0
_BUSY_POLL_S, _IDLE_POLL_S = 0.005, 0.02
_STOP_S = 5.0
_ANSWER_TIMEOUT_S = 10.0
#: Seconds; a loop takes this long only if a file system or the client library hangs.
_HUNG_S = 120.0
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class Relay:
    """Delivers the outboxes of one directory until ``stop`` is called; ``last_loop_at`` is in monotonic seconds."""

    def __init__(
        self,
        *,
        claim: OutboxClaim,
        cursors: CursorFile,
        tails: OutboxTails,
        delivery: ChunkDelivery,
        sender: KafkaSender,
        announcer: Announcer,
        metrics: RelayMetrics,
        registry: CollectorRegistry,
        state_log: StateLog,
    ) -> None:
        self._claim = claim
        self._cursors = cursors
        self.tails = tails
        self._delivery = delivery
        self.sender = sender
        self._announcer = announcer
        self._metrics = metrics
        self.registry = registry
        self._state_log = state_log
        self._seen_sent, self._answered_at = 0, time.monotonic()
        self._stopping = False
        self.last_loop_at = time.monotonic()
        self._save_at = self._show_at = self._busy_until = 0.0

    def stop(self) -> None:
        """Make ``run`` end soon: it reads nothing new, and waits up to 5 s for open deliveries."""
        self._stopping = True

    def run(self) -> None:
        """Deliver until ``stop``."""
        while not self._stopping:
            self.run_once()
        self._finish()

    def live(self) -> tuple[bool, str]:
        """Return whether the loop makes progress, and a text; an unavailable broker or disk does not stop it."""
        age = time.monotonic() - self.last_loop_at
        return age < _HUNG_S, f"last loop {age:.0f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Return whether Kafka accepts events, and a text."""
        waiting = bool(self._state_log.get("kafka"))
        return not waiting, "waiting for Kafka" if waiting else "delivering"

    def run_once(self) -> None:
        """Run one loop: discover, read, send, settle, save."""
        now = self.last_loop_at = time.monotonic()
        read = self._delivery.send_chunks(self.tails.due(now), now)
        if read:
            self._busy_until = now + 1.0
        served = self.sender.poll(0 if read else _BUSY_POLL_S if now < self._busy_until else _IDLE_POLL_S)
        if served or read:
            self._delivery.settle(now)
        if self.sender.broken:
            self._renew(now)
        if now >= self._save_at:
            self._save_if_needed(now)
        if now >= self._show_at:
            self._show_at = now + _SHOW_S
            self._delivery.settle(now)
            self._watch(now)
            self._metrics.show(self.tails, waiting=bool(self._state_log.get("kafka")))
        self._announcer.run_once(now, self.tails, self._delivery.totals())

    def _renew(self, now: float) -> None:
        LOG.warning("The Kafka producer failed; a new one is started and sends again what was not acknowledged.")
        self.sender.renew()
        self._delivery.rewind_all(now)

    def _save_if_needed(self, now: float) -> None:
        if self._delivery.moved or self.tails.has_removable(now):
            self._save(now)
        else:
            self._save_at = now + _LOOK_S

    def _save(self, now: float) -> None:
        """Sync the cursors, then remove delivered segments and finished folders."""
        self._save_at = now + _SAVE_S
        try:
            self._cursors.save(self.tails.progress())
            self._state_log.over("cursors", "The relay saves its cursors again.")
        except OSError as error:
            self._state_log.say("cursors", f"The relay cannot save its cursors: {error.strerror}.")
            if error.errno not in _NO_SPACE:
                return
            # Removing delivered segments frees space. The older cursor on disk leads to the next segment: no loss.
        self._delivery.moved = False
        self.tails.clean_up(now)

    def _watch(self, now: float) -> None:
        """Report a broker that does not acknowledge anything for too long."""
        is_waiting = self.tails.open_deliveries() or self._announcer.is_waiting
        if not is_waiting or self._delivery.sent != self._seen_sent:
            self._seen_sent, self._answered_at = self._delivery.sent, now
        elif now - self._answered_at > _ANSWER_TIMEOUT_S and not self._state_log.get("kafka"):
            if self.tails.open_deliveries():  # an acknowledged status does not end this, an acknowledged event does
                self._state_log.say(
                    "kafka",
                    f"Kafka has acknowledged no event for {_ANSWER_TIMEOUT_S:.0f} s; events wait in the outboxes.",
                )
            else:
                self.sender.report_unreachable(f"has not answered for {_ANSWER_TIMEOUT_S:.0f} seconds")

    def _finish(self) -> None:
        deadline = time.monotonic() + _STOP_S
        while (
            self.tails.open_deliveries() and (now := time.monotonic()) < deadline and not self._state_log.get("kafka")
        ):
            self.sender.poll(_IDLE_POLL_S)
            self._delivery.settle(now)
        now = time.monotonic()
        self._delivery.settle(now)
        self._save(now)
        left = self.tails.open_deliveries()
        LOG.info("Stopped after %d events; %d were not acknowledged and are sent again.", self._delivery.sent, left)
        self._cursors.close()
        self._claim.close()
