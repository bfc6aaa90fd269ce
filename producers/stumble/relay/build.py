"""Creates a relay from its parts. Nothing is sent before `Relay.run`."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from stumble.outbox.folders import RELAY
from stumble.relay.announcer import Announcer
from stumble.relay.cursors import CursorFile
from stumble.relay.delivery import ChunkDelivery
from stumble.relay.framing import Framer
from stumble.relay.metrics import RelayMetrics
from stumble.relay.outbox_tails import OutboxTails
from stumble.relay.relay import LOG, Relay
from stumble.relay.sender import KafkaSender
from stumble.relay.singleton import claim_outbox, network_file_system
from stumble.runtime.state_log import StateLog

if TYPE_CHECKING:
    from stumble.settings.base import Settings


def build_relay(settings: Settings, *, status_interval: float = 30.0) -> Relay:
    """Return the relay of ``settings.outbox_dir``, and lock the directory. `status_interval`: seconds between statuses.

    Raises ``AlreadyRunning`` and ``OutboxUnusable``, and ``StumbleError`` for wrong settings of Kafka.
    """
    directory = Path(settings.outbox_dir)
    folder = directory / RELAY
    lock = claim_outbox(folder)
    if kind := network_file_system(directory):
        LOG.warning("The outbox %s is on a network file system (%s): move it to a local disk.", directory, kind)
    state_log, registry = StateLog(LOG), CollectorRegistry()
    cursors, metrics = CursorFile(folder / "cursors"), RelayMetrics(registry)
    sender, framer = KafkaSender(settings.kafka, state_log), Framer(settings.kafka)
    announcer = Announcer(settings, framer, sender, state_log, version(), status_interval)
    tails = OutboxTails(directory, cursors.load(), state_log, announcer)
    delivery = ChunkDelivery(settings.kafka.topics.actions, folder, tails, sender, framer, metrics, state_log)
    return Relay(
        lock=lock,
        cursors=cursors,
        tails=tails,
        delivery=delivery,
        sender=sender,
        announcer=announcer,
        metrics=metrics,
        registry=registry,
        state_log=state_log,
        bootstrap_servers=settings.kafka.bootstrap_servers,
    )


def version() -> str:
    """Return the version of stumble."""
    try:
        return metadata.version("stumble")
    except metadata.PackageNotFoundError:
        return "0"
