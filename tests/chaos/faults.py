"""Does what the schedule says, and says when it did it."""

from __future__ import annotations

import heapq
import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import psycopg

from tests.chaos import damage, schedule
from tests.chaos.poison import Poisoner
from tests.chaos.schedule import MODES, Fault
from tests.chaos.unfinished import Unfinished
from tests.chaos.world import World

_BACKLOG_BYTES = 4000
_BACKLOG_SECONDS = 4.0


class Doer:
    """Runs a schedule. ``hurt`` holds the ids of events that were damaged on purpose."""

    def __init__(self, world: World, poisoner: Poisoner, seed: int, log: Path, say: Callable[[str], None]) -> None:
        self._world = world
        self._poisoner = poisoner
        self._rng = Random(f"doer:{seed}")
        self._say = say
        self._log = log
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._began = time.monotonic()
        self.hurt: set[str] = set()
        self.dying, self.living = (Unfinished(world, host, seed) for host in (world.cast.doomed, world.cast.hosts[1]))
        self.done: dict[str, int] = {}

    def begin(self, faults: list[Fault]) -> None:
        self._began = time.monotonic()
        self.dying.begin()
        self.living.begin()
        for fault in faults:
            self._at(fault.at, lambda fault=fault: self._do(fault))

    @property
    def over(self) -> bool:
        return not self._heap

    def turn(self) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= self._now():
            heapq.heappop(self._heap)[2]()

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _at(self, at: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (at, next(self._number), what))

    def _later(self, seconds: float, what: Callable[[], None], text: str) -> None:
        self._at(self._now() + seconds, lambda: (what(), self._note(text)))  # type: ignore[func-returns-value]

    def _note(self, text: str) -> None:
        line = f"{self._now():7.2f} s  {text}"
        with self._log.open("a") as log:
            log.write(line + "\n")
        self._say(line)

    def _do(self, fault: Fault) -> None:
        did = self._begin(fault)
        kind = fault.what + (f" {fault.whom}" if fault.what in MODES else "")
        self.done[kind] = self.done.get(kind, 0) + bool(did)
        self._note(str(fault) if did else f"{fault}: nothing there to hurt")

    def _begin(self, fault: Fault) -> bool:
        whom, seconds = fault.whom, fault.seconds
        match fault.what:
            case "kill":
                return self._kill(whom, seconds)
            case "pause":
                return self._pause(whom, seconds)
            case "fill the disk of":
                return self._fill(seconds)
            case "damage the outbox of" | "tear the outbox of":
                self._hurt(whom, tear=fault.what.startswith("tear"))
            case schedule.BURY:
                self._bury(whom)
            case "poison":
                self._poisoner.send(5)
            case "take away":
                self._take_registry(seconds)
            case mode:
                proxy = self._world.proxies.by_name[whom]
                proxy.set(mode, 0.3 if mode == "delay" else 0.0)  # type: ignore[arg-type]
                self._later(seconds, lambda: proxy.set("pass"), f"the link {whom} is well")
        return True

    def _kill(self, whom: str, seconds: float) -> bool:
        if whom in {"broker", "database"}:
            self._world.kill_server(whom)
            self._later(seconds, lambda: self._world.start_server(whom), f"{whom} is started again")
            return True
        if not self._world.kill(whom):
            return False
        self._later(seconds, lambda: self._world.restart(whom), f"{whom} is started again")
        return True

    def _bury(self, host: str) -> None:
        """Let a host die as soon as the store knows what it had begun."""
        try:
            with psycopg.connect(self._world.database_url, connect_timeout=1) as connection:
                known = connection.execute(
                    "select 1 from stumble_derived.requests where request_key = any(%s::uuid[])", (self.dying.keys(),)
                ).fetchall()
        except psycopg.OperationalError:
            known = []
        if len(known) < len(self.dying.requests):
            self._at(self._now() + 0.5, lambda: self._bury(host))
            return
        self._world.bury(f"relay-{host}")

        def bury_emitters() -> None:
            for name in self._world.cast.of_host(host):
                self._world.bury(name)

        self._later(1.5, bury_emitters, f"{host} is dead, with what its relay had not sent")

    def _pause(self, whom: str, seconds: float) -> bool:
        world = self._world
        if whom == "broker":
            process = world.kafka.process
            if process.pid is None:
                return False
            process.ask_to_stop(signal.SIGSTOP)
            self._later(seconds, lambda: process.ask_to_stop(signal.SIGCONT), f"{whom} wakes up")
            return True
        if not world.signal(whom, signal.SIGSTOP):
            return False
        self._later(seconds, lambda: world.signal(whom, signal.SIGCONT) and None, f"{whom} wakes up")
        return True

    def _fill(self, seconds: float) -> bool:
        if self._world.disk is None:
            return False
        ballast = self._world.disk / "ballast"
        with ballast.open("ab", buffering=0) as file:
            try:
                while file.write(b"\0" * (1 << 20)):
                    pass
            except OSError:
                pass
        self._later(seconds, lambda: ballast.unlink(missing_ok=True), "the disk has room again")
        return True

    def _take_registry(self, seconds: float) -> None:
        """A relay and a projector that start meanwhile know no id; a record with an unknown one must wait."""
        world = self._world
        link = world.proxies.by_name["registry"]
        link.set("refuse")
        for name in (f"relay-{self._rng.choice(world.cast.hosts)}", self._rng.choice(world.cast.projectors)):
            if world.kill(name):
                self._later(0.5, lambda name=name: world.restart(name), f"{name} is started without a registry")
        self._later(1.0, lambda: self._poisoner.send(0), "a record with an unknown schema id is sent")
        self._later(seconds, lambda: link.set("pass"), "the registry is back")

    def _hurt(self, host: str, *, tear: bool) -> None:
        """Kill the host's relay, let events gather, then hurt them; a power cut ends the emitters, too."""
        world = self._world
        relay = f"relay-{host}"
        world.kill(relay)
        before = damage.sizes(world.outbox(host))
        began = self._now()

        def strike() -> None:
            grown = sum(damage.sizes(world.outbox(host)).values()) - sum(before.values())
            if grown < _BACKLOG_BYTES and self._now() - began < _BACKLOG_SECONDS:
                self._at(self._now() + 0.2, strike)
                return
            emitters = world.cast.of_host(host)
            if tear:
                killed = [name for name in emitters if world.kill(name)]
                hurt = damage.tear(world.outbox(host), before, self._rng)
            else:
                for name in emitters:
                    world.signal(name, signal.SIGSTOP)
                killed = []
                hurt = damage.flip(world.outbox(host), before, self._rng)
                for name in emitters:
                    world.signal(name, signal.SIGCONT)
            self.hurt |= hurt
            self._note(f"{len(hurt)} undelivered events of {host} are hurt; it goes on")
            for name in (relay, *killed):
                world.restart(name)

        self._at(began + 0.5, strike)
