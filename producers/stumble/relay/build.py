"""Creates a relay from its parts. Nothing is sent before `Relay.run`."""

from __future__ import annotations

import resource
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from stumble.outbox.folders import RELAY
from stumble.relay.announcer import Announcer
from stumble.relay.authority import load_authority
from stumble.relay.cursors import CURSORS, CursorFile
from stumble.relay.delivery import ChunkDelivery
from stumble.relay.folder_faults import FolderFaults
from stumble.relay.framing import Framer
from stumble.relay.metrics import RelayMetrics
from stumble.relay.outbox_tails import OutboxTails
from stumble.relay.record_check import RecordCheck
from stumble.relay.relay import LOG, Relay
from stumble.relay.sender import KafkaSender
from stumble.relay.settings import RelaySettings
from stumble.relay.singleton import claim_outbox, network_file_system
from stumble.runtime.state_log import StateLog

if TYPE_CHECKING:
    from stumble.settings.base import Settings

_MOST_OPEN_FILES = 65_536


def build_relay(settings: Settings, *, status_interval: float = 30.0) -> Relay:
    """Return the relay of ``settings.outbox_dir``, and lock the directory. `status_interval`: seconds between statuses.

    Raises ``AlreadyRunning`` and ``OutboxUnusable``, and ``StumbleError`` for wrong settings.
    """
    raise_open_files_limit()
    directory = Path(settings.outbox_dir)
    relay_settings = RelaySettings()
    claim = claim_outbox(directory / RELAY)
    folder = claim.folder
    authority = load_authority(settings, relay_settings)
    if kind := network_file_system(directory):
        LOG.warning("The outbox %s is on a network file system (%s): move it to a local disk.", directory, kind)
    state_log, registry = StateLog(LOG), CollectorRegistry()
    cursors, metrics = CursorFile(folder / CURSORS), RelayMetrics(registry)
    sender, framer = KafkaSender(settings.kafka, state_log), Framer(settings.kafka, metrics.lost_schemas.inc)
    announcer = Announcer(settings, authority, framer, sender, state_log, version(), status_interval)
    faults = FolderFaults(state_log)
    tails = OutboxTails(directory, authority, cursors.load(), state_log, faults, announcer)
    check = RecordCheck(authority, framer)
    topic = settings.kafka.topics.actions
    delivery = ChunkDelivery(topic, folder, tails, sender, framer, check, faults, metrics, state_log)
    return Relay(
        claim=claim,
        cursors=cursors,
        tails=tails,
        delivery=delivery,
        sender=sender,
        announcer=announcer,
        metrics=metrics,
        registry=registry,
        state_log=state_log,
    )


def raise_open_files_limit() -> None:
    """Raise this process's soft limit of open files to the hard one, as far as the relay can use it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def version() -> str:
    """Return the version of stumble."""
    try:
        return metadata.version("stumble")
    except metadata.PackageNotFoundError:
        return "0"
