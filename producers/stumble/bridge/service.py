"""Runs the transports of a bridge, each in its own thread with its own outbox folder: a failure stops only one."""

from __future__ import annotations

import logging
import threading
from functools import partial
from pathlib import Path
from typing import Protocol

from stumble.bridge.kafka import KafkaTransport
from stumble.bridge.notification_writer import CONNECTED, NotificationWriter, Untranslated
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
    """Whether it has connected to its server; one that still waits cannot be interrupted and holds no message."""

    def connected(self) -> bool:
        """Return whether its server is connected now; safe in any thread."""

    def run(self) -> None:
        """Read until ``stop``."""

    def stop(self) -> None:
        """End ``run`` after the current message."""


class Bridge:
    """Runs every transport until ``stop``."""

    def __init__(
        self, settings: BridgeSettings, *, outbox_dir: Path, state_dir: Path, host: str, cloud: str | None
    ) -> None:
        self._settings = settings
        self._outbox_dir, self._host, self._cloud = outbox_dir, host, cloud
        self._untranslated = Untranslated(state_dir / "bridge" / "untranslated.jsonl")
        self._stopping = threading.Event()
        self._running: dict[str, Transport] = {}
        self._writers: dict[str, NotificationWriter] = {}
        self._threads: list[threading.Thread] = []
        for transport in settings.transports:
            CONNECTED.labels(transport.name).set_function(partial(self._is_connected, transport.name))

    def live(self) -> tuple[bool, str]:
        """Return whether every transport has its thread, and a text; an unavailable server does not end the thread."""
        ended = [thread.name for thread in self._threads if not thread.is_alive()]
        return not ended, f"thread ended: {', '.join(ended)}" if ended else "running"

    def ready(self) -> tuple[bool, str]:
        """Return whether every transport is connected and the outbox accepts its events, and a text."""
        problems = []
        for name in (settings.name for settings in self._settings.transports):
            writer = self._writers.get(name)
            if not self._is_connected(name):
                problems.append(f"{name} is not connected to its server")
            elif writer is not None and writer.refused:
                problems.append(f"{name} waits: outbox full")
        return not problems, "; ".join(problems) or "all transports connected"

    def _is_connected(self, name: str) -> bool:
        transport = self._running.get(name)
        return transport is not None and transport.connected()

    def run(self) -> None:
        """Read all transports until ``stop``."""
        self._threads = [
            threading.Thread(target=self._run_transport, args=(item,), name=item.name, daemon=True)
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

    def _run_transport(self, settings: TransportSettings) -> None:
        while not self._stopping.is_set():
            try:
                if settings.name not in self._writers:
                    self._writers[settings.name] = self._new_writer(settings)
                kind = KafkaTransport if settings.is_kafka else RabbitTransport
                transport: Transport = kind(settings, self._writers[settings.name])
                self._running[settings.name] = transport
                transport.run()
            except Exception as error:  # noqa: BLE001 - client libraries raise many types; the others continue
                self._running.pop(settings.name, None)
                LOG.error(  # noqa: TRY400 - one sentence, no traceback
                    "Transport %s failed (%s: %s); retrying in %.0f s. The others continue.",
                    settings.name,
                    type(error).__name__,
                    error,
                    _RETRY_S,
                )
                self._stopping.wait(_RETRY_S)

    def _new_writer(self, settings: TransportSettings) -> NotificationWriter:
        emitter = Emitter(
            self._outbox_dir,
            service=SERVICE,
            host=self._host,
            cell=settings.cell,
            region=settings.region,
            cloud=self._cloud,
            tracebacks=self._settings.tracebacks,
        )
        return NotificationWriter(settings.name, emitter, self._untranslated)
