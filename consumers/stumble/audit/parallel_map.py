"""Doing the same with one chunk after the other, in threads of this process and in helpers at once."""

from __future__ import annotations

from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from stumble.audit.bounded_executor import BoundedExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stumble.audit.worker_main import Job
    from stumble.audit.worker_pool import WorkerProcess

G = TypeVar("G")
R = TypeVar("R")


def here(helpers: Sequence[WorkerProcess]) -> int:
    """Return how many lanes are worth it in this process: without help one derives while the other waits."""
    return 1 if helpers else 2


class ParallelMap(Generic[G, R]):
    """Lanes that each take the next chunk when they are done with one.

    `own` do it here; `helpers` take up `job`, and `ask` has one do it. The job ends at None.
    """

    def __init__(
        self,
        own: Sequence[Callable[[G], R]],
        helpers: Sequence[WorkerProcess],
        job: Job,
        ask: Callable[[WorkerProcess, G], R],
    ) -> None:
        self._helpers = helpers
        self._job = job
        self._free: SimpleQueue[Callable[[G], R]] = SimpleQueue()
        for lane in own:
            self._free.put(lane)
        for helper in helpers:
            self._free.put(partial(ask, helper))
        self._size = self._free.qsize()

    def __enter__(self) -> Self:
        for helper in self._helpers:
            helper.begin(self._job)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for helper in self._helpers:
                helper.tell(None)
                helper.hear()

    def run(self, chunks: Iterable[G]) -> Iterator[tuple[G | None, list[R]]]:
        """Yield each chunk when it is handed over, with the results that came meanwhile; last None with the rest."""
        with BoundedExecutor[R](self._size, self._size + 1) as ahead:
            for chunk in chunks:
                yield chunk, ahead.submit(partial(self._do, chunk))
            yield None, list(ahead.rest())

    def _do(self, chunk: G) -> R:
        lane = self._free.get()
        try:
            return lane(chunk)
        finally:
            self._free.put(lane)
