"""Requests that begin and do not end: on a host that dies permanently they must stall, on others they must not."""

from __future__ import annotations

import time
import uuid
from random import Random
from typing import Any

from stumble.emitter import Emitter
from stumble.simulator.truth import key_of
from stumble.wire.ids import new_event_id
from tests.chaos.world import Deployment

ACTION = "live-migration"
COUNT = 5


class UnfinishedRequests:
    """Some requests of one host, emitted through its outbox."""

    def __init__(self, deployment: Deployment, host: str, seed: int) -> None:
        rng = Random(f"unfinished:{seed}:{host}")
        self.host = host
        self.requests = [
            (str(uuid.UUID(int=rng.getrandbits(128), version=4)), f"req-{uuid.UUID(int=rng.getrandbits(128))}")
            for _ in range(COUNT)
        ]
        self._emitter = Emitter(deployment.outbox(host), service="nova-conductor", host=host, cell="cell1")
        self.events: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Emit the begin of the requests."""
        self._emit("START")

    def end(self) -> None:
        """Emit the successful end of the requests."""
        self._emit("END")

    def keys(self) -> list[str]:
        return [key_of(instance, request_id, ACTION) for instance, request_id in self.requests]

    def truths(self, outcome: str) -> list[dict[str, Any]]:
        """Return the truth of the requests in the simulator's form."""
        return [
            {
                "request_key": key_of(instance, request_id, ACTION),
                "instance_uuid": instance,
                "request_id": request_id,
                "action": ACTION,
                "outcome": outcome,
                "verdict": None,
                "effect": "NONE",
                "failures": [],
                "events": len(self.events) // COUNT,
            }
            for instance, request_id in self.requests
        ]

    def _emit(self, phase: str) -> None:
        for instance, request_id in self.requests:
            now = time.time_ns() // 1000
            event = {
                "event_id": new_event_id(),
                "occurred_at": now,
                "emitted_at": now,
                "phase": phase,
                "scope": "REQUEST",
                "action": ACTION,
                "instance_uuid": instance,
                "request_id": request_id,
                "source": {"kind": "LIBRARY", "signal": "request", "publisher": f"nova-conductor:{self.host}"},
            }
            assert self._emitter.emit(event), f"the outbox of {self.host} refused an event"
            self.events.append(event)
