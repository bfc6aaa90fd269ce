"""Doing one thing while another waits for the database: jobs in threads, what they raise where they are waited for."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

T = TypeVar("T")


class BoundedExecutor(Generic[T]):
    """Runs jobs in `workers` threads and keeps at most `depth` of them waiting; results come in their order.

    What a job raises is raised by the next call that takes its result.
    """

    def __init__(self, workers: int = 1, depth: int = 2) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ahead")
        self._depth = depth
        self._waiting: deque[Future[T]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def submit(self, job: Callable[[], T]) -> list[T]:
        """Hand over a job; returns the results of those that had to end first."""
        ended = []
        while len(self._waiting) >= self._depth:
            ended.append(self._waiting.popleft().result())
        self._waiting.append(self._pool.submit(job))
        return ended

    def rest(self) -> Iterator[T]:
        """Yield the results of all jobs that are left."""
        while self._waiting:
            yield self._waiting.popleft().result()
