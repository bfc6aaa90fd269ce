"""Simulates the relays of several hosts: each sends its status repeatedly while its host is in `reporting`."""

from __future__ import annotations

import threading
import time
from typing import Any

from confluent_kafka import Producer

from stumble.wire import codec
from stumble.wire.headers import relay_headers
from stumble.wire.schemas import PRODUCER_STATUS
from tests.support.projection import ProjectorTestbed

_EVERY = 0.25


def now_us() -> int:
    return time.time_ns() // 1000


class Relays:
    """`reporting`: hosts whose relays send statuses; `processes`: further statuses that they send.

    `clock_ahead`: microseconds by which the clock of a host is ahead.
    """

    def __init__(self, testbed: ProjectorTestbed, *hosts: str) -> None:
        self.reporting = set(hosts)
        self.processes: dict[tuple[str, str], dict[str, Any]] = {}
        self.oldest: dict[str, int] = {}
        self.clock_ahead: dict[str, int] = {}
        self._topic = testbed.settings.topics.producers
        self._producer = Producer(testbed.settings.producer_config(linger_ms=5))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def process(self, host: str, name: str, **fields: Any) -> None:
        """Add a nova-compute to the statuses of a host's relay."""
        self.processes[host, name] = {"service": "nova-compute", "alive": True, **fields}

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ending.wait(_EVERY):
            for host in sorted(self.reporting):
                for (owner, name), fields in list(self.processes.items()):
                    if owner == host:
                        self._send(host, name, attributes={"relay_host": host}, **fields)
                self._send(host, "relay", service="stumble-relay", alive=True, oldest_unsent_at=self.oldest.get(host))
            self._producer.poll(0)
        self._producer.flush(5)

    def _send(self, host: str, process: str, **fields: Any) -> None:
        status = {"host": host, "process": process, "reported_at": now_us() + self.clock_ahead.get(host, 0), **fields}
        value = codec.frame_single_object(PRODUCER_STATUS, codec.encode_record(PRODUCER_STATUS, status))
        headers: list[tuple[str, str | bytes | None]] = [*relay_headers(host, is_bridge=False)]
        self._producer.produce(self._topic, value=value, key=f"{host}/{process}".encode(), headers=headers)
