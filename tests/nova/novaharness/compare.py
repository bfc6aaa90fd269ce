"""What stumble adds to API requests and to compute actions, compared with the same Nova without it, in one process.

All services share a process under eventlet: the CPU time of each green thread is measured at every switch.
"""

from __future__ import annotations

import functools
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import greenlet
from nova import rpc
from nova.api import wsgi
from nova.compute import manager
from oslo_messaging.rpc import dispatcher

from stumble.nova import driver, tap

if TYPE_CHECKING:
    from novaharness.play import Player
    from novaharness.vocabulary import Scenario

SIDES = ("api", "compute")


class Sample(NamedTuple):
    """One API request or one call of a compute's method, in microseconds."""

    cpu: float
    wall: float
    stumble: float
    """The part of the CPU time in driver and tap."""


def _request_name(arguments: Any) -> str:
    """Return method and resource of a request, without the server's id."""
    environ = arguments[0]
    parts = environ["PATH_INFO"].split("/")
    return " ".join([environ["REQUEST_METHOD"], *(part for part in parts if len(part) < len("server-uuid-and-more"))])


class GreenClock:
    """CPU time of each green thread."""

    def __init__(self) -> None:
        self._switched = time.thread_time_ns()
        self._spent: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def start(self) -> None:
        """Measure every switch from now on."""
        self._switched = time.thread_time_ns()
        greenlet.settrace(self._trace)

    def now(self) -> int:
        """Return the CPU time of the calling green thread so far, in nanoseconds."""
        return self._spent.get(greenlet.getcurrent(), 0) + time.thread_time_ns() - self._switched

    def _trace(self, event: str, arguments: Any) -> None:
        if event in ("switch", "throw"):
            now = time.thread_time_ns()
            self._spent[arguments[0]] = self._spent.get(arguments[0], 0) + now - self._switched
            self._switched = now


class Compare:
    """Plays scenarios with stumble and without it, and measures both."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._samples: dict[tuple[str, bool, str], list[Sample]] = defaultdict(list)
        self._clock = GreenClock()
        self._on = True
        self._extensions: dict[int, Any] = {}

    def watch_api(self) -> None:
        """Measure the requests of the WSGI application that is loaded from now on, middleware included."""
        self._clock.start()
        load = wsgi.Loader.load_app
        wsgi.Loader.load_app = lambda loader, name: self._measured("api", load(loader, name), _request_name)

    def install(self) -> None:
        """Measure stumble's part, and computes, from now on. Nova must run, with the driver loaded."""
        notifiers = (rpc.LEGACY_NOTIFIER._driver_mgr, rpc.NOTIFIER._driver_mgr)
        self._extensions = {
            id(driver_manager): (driver_manager, list(driver_manager.extensions)) for driver_manager in notifiers
        }
        driver.StumbleDriver.notify = self._stumble_time(driver.StumbleDriver.notify)  # type: ignore[method-assign]
        tap._before, tap._after = self._stumble_time(tap._before), self._stumble_time(tap._after)
        assert tap._tap.producer is not None
        self._producer = tap._tap.producer
        build = manager.ComputeManager._do_build_and_run_instance
        manager.ComputeManager._do_build_and_run_instance = self._measured("compute", build, lambda _args: "build")
        dispatch = dispatcher.RPCDispatcher._do_dispatch
        measured = self._measured("compute", dispatch, lambda args: args[2])

        @functools.wraps(dispatch)
        def do_dispatch(self_: Any, endpoint: Any, *args: Any, **kwargs: Any) -> Any:
            chosen = measured if isinstance(endpoint, manager.ComputeManager) else dispatch
            return chosen(self_, endpoint, *args, **kwargs)

        dispatcher.RPCDispatcher._do_dispatch = do_dispatch

    def play(self, player: Player, scenarios: list[Scenario], rounds: int) -> None:
        """Play every scenario alternately with and without stumble; the first round is a warm-up."""
        for number in range(rounds + 1):
            for scenario in scenarios:
                for on in (number % 2 == 0, number % 2 != 0):
                    self._switch(on)
                    self._play(player, scenario)
            if number == 0:
                self._samples.clear()
        self._switch(True)

    def _play(self, player: Player, scenario: Scenario) -> None:
        result = player.play(scenario)
        if "error" in result:
            raise RuntimeError(result["error"])

    def result(self) -> dict[str, dict[str, float]]:
        """Return the measurements of each side."""
        return {side: dict(self._of(side)) for side in SIDES}

    def _of(self, side: str) -> Iterator[tuple[str, float]]:
        """Methods count as often as they were called with stumble; methods not called without it don't count."""
        names = sorted({name for each, _, name in self._samples if each == side})
        spent, cpu_without, wall_with, wall_without = 0.0, 0.0, 0.0, 0.0
        added: list[float] = []
        for name in names:
            on, off = self._samples[side, True, name], self._samples[side, False, name]
            if not off or not any(one.stumble for one in on):  # a GET starts no action
                continue
            added += [one.stumble for one in on]
            spent += sum(one.stumble for one in on)
            cpu_without += len(on) * statistics.fmean(one.cpu for one in off)
            wall_with += len(on) * statistics.median(one.wall for one in on)
            wall_without += len(on) * statistics.median(one.wall for one in off)
        yield "share", spent / cpu_without
        yield "added_us", statistics.median(added)
        yield "added_us_p99", sorted(added)[int(len(added) * 0.99)]
        yield "cpu_us_without", cpu_without / len(added)
        yield "latency_ratio", wall_with / wall_without
        yield "calls", float(len(added))

    def _switch(self, on: bool) -> None:
        """Remove stumble completely from Nova, or install it again."""
        if on == self._on:
            return
        self._on = on
        for driver_manager, extensions in self._extensions.values():
            driver_manager.extensions = extensions if on else []
        if on:
            tap.install(self._producer)
        else:
            tap.uninstall()

    def _measured(self, side: str, original: Callable[..., Any], name: Callable[[Any], Any]) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            before, self._local.spent = getattr(self._local, "spent", 0), 0
            wall, cpu, on = time.perf_counter_ns(), self._clock.now(), self._on
            try:
                return original(*args, **kwargs)
            finally:
                cpu, wall = self._clock.now() - cpu, time.perf_counter_ns() - wall
                sample = Sample(cpu / 1000, wall / 1000, self._local.spent / 1000)
                self._samples[side, on, str(name(args))].append(sample)
                self._local.spent += before

        return measured

    def _stumble_time(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._local, "inside", False):
                return original(*args, **kwargs)
            self._local.inside, started = True, self._clock.now()
            try:
                return original(*args, **kwargs)
            finally:
                self._local.inside = False
                self._local.spent = getattr(self._local, "spent", 0) + self._clock.now() - started

        return timed
