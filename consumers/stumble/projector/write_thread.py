"""The writing half of the projector: a thread that takes one job at a time, and lanes that do it.

A large batch is split by partitions between two lanes, each with a session and a transaction of its own: while one
waits for PostgreSQL, the other derives.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stumble.ingest.batch import Batch
from stumble.projector.store_session import BatchWriter, StoppedError, Tools, WriteResult

if TYPE_CHECKING:
    from stumble.deadletters.producer import DeadLetterProducer
    from stumble.ingest.decisions import DecisionJob
    from stumble.ingest.transaction import StoreWriter
    from stumble.projector.breaker import CircuitBreaker
    from stumble.projector.health import ProjectorHealth
    from stumble.runtime.state_log import StateLog

#: Below this a second transaction costs more than it brings.
_WORTH_SPLITTING = 1000


@dataclass(slots=True)
class SweepJob:
    """Look after the sightings of these partitions (partition to next offset)."""

    positions: dict[int, int]
    window_seconds: float


class WriteThread(threading.Thread):
    """Writes one job at a time. `submit` only when `idle`; results come back through `results`."""

    def __init__(
        self,
        url: str,
        ledger: StoreWriter,
        letters: DeadLetterProducer,
        breaker: CircuitBreaker,
        health: ProjectorHealth,
        notices: StateLog,
        application: str,
    ) -> None:
        super().__init__(name="writer", daemon=True)
        self.results: queue.SimpleQueue[WriteResult] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Batch | SweepJob | DecisionJob | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._ending = threading.Event()
        tools = Tools(url, ledger, letters, breaker, health, notices, application, self._ending)
        self._lanes = (BatchWriter(tools), BatchWriter(tools))
        self._second = ThreadPoolExecutor(1, thread_name_prefix="lane")

    @property
    def idle(self) -> bool:
        """Whether a job may be submitted."""
        return self._idle.is_set()

    def submit(self, job: Batch | SweepJob | DecisionJob) -> None:
        """Hand over a job."""
        self._idle.clear()
        self._jobs.put(job)

    def wait(self, seconds: float) -> bool:
        """Wait until the writer is idle; False when it still isn't."""
        return self._idle.wait(seconds)

    def end(self) -> None:
        """Finish the job in hand, unless the store is away, and end the thread."""
        self._ending.set()
        self._jobs.put(None)

    def run(self) -> None:
        """Work until told to end."""
        while (job := self._jobs.get()) is not None:
            self.results.put(self._do(job))
            self._idle.set()
        self._second.shutdown()
        for lane in self._lanes:
            lane.close()

    def _do(self, job: Batch | SweepJob | DecisionJob) -> WriteResult:
        first, second = self._lanes
        if isinstance(job, SweepJob):
            return first.sweep(job.positions, job.window_seconds)
        if not isinstance(job, Batch):
            return first.decide(job)
        if len(job) < _WORTH_SPLITTING or len(job.spans) == 1:
            return first.write(job)
        mine, theirs = job.split()
        other = self._second.submit(second.write, theirs)
        result = first.write(mine)
        result.merge(other.result())
        return result


__all__ = ["StoppedError", "SweepJob", "WriteResult", "WriteThread"]
