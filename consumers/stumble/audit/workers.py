"""Processes that share the work of one command: Python's threads would take turns on one core.

Work is a function of one argument, both importable and picklable. `Workers.map` calls it for each of many items;
`Workers.stream` reads what generators yield. With one process the same happens in threads of this process, so that
deriving continues while PostgreSQL or Kafka answers.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections import deque
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from stumble.runtime.affinity import permitted_cores
from stumble.runtime.gc_pause import limit_malloc_arenas
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    import multiprocessing.queues
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")
#: With fewer records the work is done before another process has started.
_WORTH_PROCESSES = 30_000
#: Three processes, including this one, use less than 300 MB; an operator can request more.
_DEFAULT_PROCESSES = 2
_THREADS = 2
#: Results of streams that may wait for the reader.
_QUEUE_SIZE = 4
_POLL_SECONDS = 0.2


class _Queue(Protocol):
    """A queue of threads or of processes."""

    def put(self, item: Any, *, timeout: float) -> None: ...
    def get(self, *, timeout: float) -> Any: ...


class _Flag(Protocol):
    def set(self) -> None: ...
    def is_set(self) -> bool: ...


def processes_for(records: int, wanted: int | None) -> int:
    """Return how many processes share the work: `wanted`, or a number that suits the number of records."""
    if wanted is not None:
        return wanted
    return min(_DEFAULT_PROCESSES, len(permitted_cores()) or os.cpu_count() or 1) if records >= _WORTH_PROCESSES else 1


class Workers:
    """The worker processes of one command, or threads of it if `processes` is 1; none outlives the command.

    Raises `StumbleError` when a process ends in the middle of its work, and otherwise what the work raises.
    """

    def __init__(self, processes: int) -> None:
        #: The number of readers of the topic that is worthwhile: Python's threads would take turns.
        self.processes = processes
        self._count = processes if processes > 1 else _THREADS
        self._results: _Queue
        self._stopping: _Flag
        self._executor: Executor
        if processes > 1:
            context = multiprocessing.get_context("spawn")
            self._results, self._stopping = context.Queue(_QUEUE_SIZE), context.Event()
            self._executor = ProcessPoolExecutor(
                processes, mp_context=context, initializer=_start_worker, initargs=(self._results, self._stopping)
            )
            self._stream: Callable[..., None] = _stream_from_process
        else:
            self._results, self._stopping = queue.Queue(_QUEUE_SIZE), threading.Event()
            self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="audit")
            self._stream = partial(_put_all, self._results, self._stopping)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Yield each item with its result, in order; a free worker gets the next item."""
        waiting: deque[tuple[T, Future[R]]] = deque()
        with _broken_pool_as_error():
            for item in items:
                waiting.append((item, self._submit(work, item)))
                if len(waiting) > self._count:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()

    def stream(self, work: Callable[[T], Iterator[R]], items: Sequence[T]) -> Iterator[R]:
        """Yield what `work` yields for each item, as it comes; each item is worked on by one worker."""
        with _broken_pool_as_error():
            running = [self._submit(self._stream, work, item) for item in items]
            left = len(running)
            while left:
                for future in running:  # an error of one ends the stream, also while others still have results
                    if future.done():
                        future.result()
                try:
                    result = self._results.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    continue
                if isinstance(result, _End):
                    left -= 1
                else:
                    yield result

    def close(self) -> None:
        """Stop streams, cancel work that waits, and wait until running work has ended."""
        self._stopping.set()
        self._executor.shutdown(cancel_futures=True)

    def _submit(self, work: Callable[..., R], *arguments: Any) -> Future[R]:
        with _sigint_blocked():  # a process that starts here inherits the mask until it ignores Ctrl-C
            return self._executor.submit(_do, work, *arguments)


class _End:
    """One item's results are complete."""


def _do(work: Callable[..., R], *arguments: Any) -> R:
    try:
        return work(*arguments)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  # made in this process
        except Exception:  # noqa: BLE001  # its class may raise anything
            raise StumbleError(f"{type(error).__name__}: {error}") from None
        raise


def _put_all(results: _Queue, stopping: _Flag, work: Callable[[T], Iterator[R]], item: T) -> None:
    for result in _then_end(work(item)):
        while True:
            if stopping.is_set():
                return
            try:
                results.put(result, timeout=_POLL_SECONDS)
                break
            except queue.Full:
                continue


def _then_end(results: Iterator[R]) -> Iterator[R | _End]:
    yield from results
    yield _End()


# In a worker process ----------------------------------------------------------------------------------

_process_queue: tuple[_Queue, _Flag]


def _start_worker(results: multiprocessing.queues.Queue[Any], stopping: _Flag) -> None:
    """Prepare a worker process: it ends with its parent, and only the parent handles Ctrl-C."""
    global _process_queue  # noqa: PLW0603  # queues reach a process by its initializer only
    _process_queue = results, stopping
    results.cancel_join_thread()  # a process that stops drops results that are not read
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    limit_malloc_arenas()
    gc.freeze()
    gc.disable()  # as in runtime/gc_pause.py: discarded objects have no cycles


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)


def _stream_from_process(work: Callable[[T], Iterator[R]], item: T) -> None:
    _put_all(*_process_queue, work, item)


# ------------------------------------------------------------------------------------------------------


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _broken_pool_as_error() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise StumbleError(
            "A worker process ended before its work was done: check whether the machine ran out of memory, then run "
            "the command again, with --processes 1 to use less memory."
        ) from None
