"""All transports of one bridge, each in a thread and with an outbox folder of its own: one that fails stops alone."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Protocol

from stumble.bridge.kafka import KafkaTransport
from stumble.bridge.notification_writer import NotificationWriter, Untranslated
from stumble.bridge.rabbit import RabbitTransport
from stumble.bridge.settings import BridgeSettings, TransportSettings
from stumble.emitter import Emitter

LOG = logging.getLogger(__name__)

_RETRY_S = 10.0
_STOP_S = 20.0
SERVICE = "stumble-bridge"


class Transport(Protocol):
    """Reads one transport in the calling thread."""

    reading: bool
    """Whether it has reached its server: one that waits for it can't be interrupted and has nothing in hand."""

    def connected(self) -> bool:
        """Tell whether its server is there now; safe in any thread."""

    def run(self) -> None:
        """Read until ``stop``."""

    def stop(self) -> None:
        """End ``run`` once the message in hand is done."""


class Bridge:
    """Runs every transport until it is told to stop."""

    def __init__(
        self, settings: BridgeSettings, *, outbox_dir: Path, state_dir: Path, host: str, cloud: str | None
    ) -> None:
        self._settings = settings
        self._outbox_dir, self._host, self._cloud = outbox_dir, host, cloud
        self._untranslated = Untranslated(state_dir / "bridge" / "untranslated.jsonl")
        self._stopping = threading.Event()
        self._running: dict[str, Transport] = {}
        self._intakes: dict[str, NotificationWriter] = {}
        self._threads: list[threading.Thread] = []

    def live(self) -> tuple[bool, str]:
        """Tell whether every transport has its thread; a server that is away doesn't end it."""
        gone = [thread.name for thread in self._threads if not thread.is_alive()]
        return not gone, f"no thread reads {', '.join(gone)}" if gone else "every transport has its thread"

    def ready(self) -> tuple[bool, str]:
        """Tell whether every transport is connected to its server and the outbox takes what it says."""
        troubles = []
        for name in (settings.name for settings in self._settings.transports):
            transport, intake = self._running.get(name), self._intakes.get(name)
            if transport is None or not transport.connected():
                troubles.append(f"{name} is not connected to its server")
            elif intake is not None and intake.refused:
                troubles.append(f"{name} waits: the outbox is full")
        return not troubles, "; ".join(troubles) or "every transport is connected"

    def run(self) -> None:
        """Read all transports until ``stop``."""
        self._threads = [
            threading.Thread(target=self._keep_reading, args=(item,), name=item.name, daemon=True)
            for item in self._settings.transports
        ]
        for thread in self._threads:
            thread.start()
        while not self._stopping.wait(1.0):
            pass
        for transport in list(self._running.values()):
            transport.stop()
        for thread in self._threads:
            if (started := self._running.get(thread.name)) and started.reading:
                thread.join(_STOP_S)
        self._untranslated.close()

    def stop(self) -> None:
        """End ``run``; safe in a signal handler."""
        self._stopping.set()

    def _keep_reading(self, settings: TransportSettings) -> None:
        emitter = Emitter(
            self._outbox_dir,
            service=SERVICE,
            host=self._host,
            cell=settings.cell,
            region=settings.region,
            cloud=self._cloud,
            tracebacks=self._settings.tracebacks,
        )
        intake = self._intakes[settings.name] = NotificationWriter(settings.name, emitter, self._untranslated)
        while not self._stopping.is_set():
            kind = KafkaTransport if settings.is_kafka else RabbitTransport
            made: Transport = kind(settings, intake)
            self._running[settings.name] = made
            try:
                made.run()
            except Exception as error:  # noqa: BLE001 - whatever a client library finds wrong; the others go on
                del self._running[settings.name]
                LOG.error(  # noqa: TRY400 - one sentence, no traceback
                    "Transport %s failed (%s: %s) and is tried again in %.0f s; the others continue.",
                    settings.name,
                    type(error).__name__,
                    error,
                    _RETRY_S,
                )
                self._stopping.wait(_RETRY_S)
