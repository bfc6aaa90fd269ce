"""The host of each green thread, and whether any thread still works.

One process plays several hosts. Nova reads `CONF.host` in many functions (publisher ids, action events, faults), so
the value depends on the thread: an RPC server's thread has its server's host, and the threads that it spawns inherit
it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
import time
from typing import TYPE_CHECKING, Any

import futurist
import nova.tests.functional
import nova.utils
from oslo_config import cfg
from oslo_messaging._drivers import impl_fake
from oslo_messaging.rpc import server as rpc_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTROLLER = "controller"
"""Host of nova-api, nova-conductor and nova-scheduler."""

_local = threading.local()
_working = 0
_polled: dict[int, list] = {}


def current() -> str:
    """Host that the calling thread plays."""
    return getattr(_local, "host", CONTROLLER)


@contextlib.contextmanager
def playing(host: str) -> Iterator[None]:
    """Let the calling thread play `host`."""
    before = current()
    _local.host = host
    try:
        yield
    finally:
        _local.host = before


@contextlib.contextmanager
def _counted_as_work() -> Iterator[None]:
    global _working  # noqa: PLW0603 - one process, one count
    _working += 1
    try:
        yield
    finally:
        _working -= 1


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """Let the calling thread not count as working inside the block."""
    global _working  # noqa: PLW0603 - one process, one count
    _working -= 1
    try:
        yield
    finally:
        _working += 1


def abandon(work: Any) -> None:
    """Stop counting work that was passed to another thread and will never begin; nothing if it is not counted."""
    getattr(work, "abandon", lambda: None)()


def wait_idle(timeout: float = 120.0) -> None:
    """Return when no RPC is queued or served and no spawned work runs (TimeoutError after `timeout` s)."""
    deadline = time.monotonic() + timeout
    idle_rounds = 0
    while idle_rounds < 3:  # for one round a message may be in neither queue
        if time.monotonic() > deadline:
            raise TimeoutError(f"Nova is not idle after {timeout} s ({_working} tasks are still running)")
        idle_rounds = 0 if _working or any(_polled.values()) else idle_rounds + 1
        time.sleep(0.01)


def _conf_getattr(original):
    @functools.wraps(original)
    def getter(self, name):
        return current() if name == "host" else original(self, name)

    return getter


def _process_incoming(original):
    @functools.wraps(original)
    def process(self, incoming):
        global _working  # noqa: PLW0603 - was counted by poll
        try:
            with playing(self._target.server or CONTROLLER):
                return original(self, incoming)
        finally:
            _working -= 1

    return process


def _poll(original):
    @functools.wraps(original)
    def poll(self, target, pool):
        global _working  # noqa: PLW0603 - see _process_incoming
        with self._queues_lock:
            queue = (
                self._get_server_queue(target.topic, target.server)
                if target.server
                else self._get_topic_queue(target.topic, pool)
            )
            _polled[id(queue)] = queue
        polled = original(self, target, pool)
        if polled[1] is not None:
            _working += 1
        return polled

    return poll


def _spawn_on(original):
    @functools.wraps(original)
    def spawn_on(executor, func, *args, **kwargs):
        return original(executor, _counted(func), *args, **kwargs)

    return spawn_on


def _spawn(original):
    @functools.wraps(original)
    def spawn(func, *args, **kwargs):
        return original(_counted(func), *args, **kwargs)

    return spawn


def _counted(func):
    """Return `func` for another thread: it plays the caller's host, and counts as work from now until it ends."""
    host = current()
    counted = _counted_as_work()
    counted.__enter__()

    @functools.wraps(func)
    def work(*args, **kwargs):
        try:
            with playing(host):
                return func(*args, **kwargs)
        finally:
            counted.__exit__(None, None, None)

    work.abandon = lambda: counted.__exit__(None, None, None)  # type: ignore[attr-defined]
    return work


def on_host(host: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that plays a host in whichever thread it runs."""

    @functools.wraps(original)
    def function(*args, **kwargs):
        with playing(host):
            return original(*args, **kwargs)

    return function


def install() -> None:
    """Give `CONF.host`, RPC servers and spawned work their host. Call once, before Nova starts."""
    cfg.ConfigOpts.__getattr__ = _conf_getattr(cfg.ConfigOpts.__getattr__)  # type: ignore[method-assign]
    rpc_server.RPCServer._process_incoming = _process_incoming(rpc_server.RPCServer._process_incoming)
    impl_fake.FakeExchange.poll = _poll(impl_fake.FakeExchange.poll)
    _install_spawn()


def _install_spawn() -> None:
    """Wrap the functions with which Nova starts its threads."""
    if hasattr(nova.utils, "spawn_n"):  # up to Nova 31
        nova.utils.spawn, nova.utils.spawn_n = _spawn(nova.utils.spawn), _spawn(nova.utils.spawn_n)
        futurist.GreenThreadPoolExecutor.submit = _spawn_on(futurist.GreenThreadPoolExecutor.submit)  # type: ignore[method-assign]
        return
    spawner: Any = importlib.import_module(
        "nova.utils" if hasattr(nova.utils, "spawn_on") else "nova.thread_pool_factory"
    )
    spawner.spawn_on = _spawn_on(spawner.spawn_on)  # in another module since Nova 34
