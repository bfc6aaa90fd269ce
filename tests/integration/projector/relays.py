"""Relays of several hosts as the topic shows them: each says what waits on it, again and again, until silenced."""

from __future__ import annotations

import threading
import time
from typing import Any

from confluent_kafka import Producer

from stumble.wire import codec
from stumble.wire.schemas import PRODUCER_STATUS
from tests.support.projection import World

_EVERY = 0.25


def now_us() -> int:
    return time.time_ns() // 1000


class Relays:
    """`speaking`: hosts that are heard; `told`: what else a host's relay says of itself and its processes."""

    def __init__(self, world: World, *hosts: str) -> None:
        self.speaking = set(hosts)
        self.processes: dict[tuple[str, str], dict[str, Any]] = {}
        self.oldest: dict[str, int] = {}
        self._topic = world.settings.topics.producers
        self._producer = Producer(world.settings.producer_config(linger_ms=5))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def process(self, host: str, name: str, **told: Any) -> None:
        """Let a host's relay tell of a nova-compute."""
        self.processes[host, name] = {"service": "nova-compute", "alive": True, **told}

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ending.wait(_EVERY):
            for host in sorted(self.speaking):
                for (owner, name), told in list(self.processes.items()):
                    if owner == host:
                        self._say(host, name, attributes={"relay_host": host}, **told)
                self._say(host, "relay", service="stumble-relay", alive=True, oldest_unsent_at=self.oldest.get(host))
            self._producer.poll(0)
        self._producer.flush(5)

    def _say(self, host: str, process: str, **fields: Any) -> None:
        status = {"host": host, "process": process, "reported_at": now_us(), **fields}
        value = codec.frame_single_object(PRODUCER_STATUS, codec.encode(PRODUCER_STATUS, status))
        self._producer.produce(self._topic, value=value, key=f"{host}/{process}".encode())
