"""Injects the faults of a schedule, and logs when."""

from __future__ import annotations

import heapq
import itertools
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import psycopg

from tests.chaos import damage, schedule
from tests.chaos.database import Copy
from tests.chaos.fleet import MICROS
from tests.chaos.health import Interruption
from tests.chaos.poison import Poisoner
from tests.chaos.schedule import MODES, Fault
from tests.chaos.unfinished import UnfinishedRequests
from tests.chaos.world import Deployment

_BACKLOG_BYTES = 4000
_BACKLOG_SECONDS = 4.0
#: Seconds that a fault of the database waits for publications.
_COMMIT_SECONDS = 45.0


class FaultInjector:
    """Runs a schedule. ``damaged`` holds the ids of events that were damaged on purpose."""

    def __init__(
        self, deployment: Deployment, poisoner: Poisoner, seed: int, log: Path, print_line: Callable[[str], None]
    ) -> None:
        self._deployment = deployment
        self._poisoner = poisoner
        self._rng = Random(f"doer:{seed}")
        self._print_line = print_line
        self._log = log
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()
        self._started_at = time.monotonic()
        self.damaged: set[str] = set()
        self.interruptions: list[Interruption] = []
        self._is_database_copied = False
        self.on_dead_host, self.on_live_host = (
            UnfinishedRequests(deployment, host, seed)
            for host in (deployment.cast.permanently_dead, deployment.cast.hosts[1])
        )
        self.done: dict[str, int] = {}

    def begin(self, faults: list[Fault]) -> None:
        self._started_at = time.monotonic()
        self.on_dead_host.begin()
        self.on_live_host.begin()
        for fault in faults:
            self._schedule(fault.at, partial(self._apply, fault))

    @property
    def finished(self) -> bool:
        return not self._heap

    def run_due(self) -> None:
        """Run the actions that are due."""
        while self._heap and self._heap[0][0] <= self._now():
            heapq.heappop(self._heap)[2]()

    def _now(self) -> float:
        return time.monotonic() - self._started_at

    def _schedule(self, at: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._heap, (at, next(self._number), what))

    def _schedule_later(self, seconds: float, what: Callable[[], object], text: str) -> None:
        interruption = self.interruptions[-1]
        interruption.end = max(interruption.end, self._now() + seconds)

        def act() -> None:
            what()
            interruption.end = max(interruption.end, self._now())
            self._log_line(text)

        self._schedule(self._now() + seconds, act)

    def _begin_interruption(self, what: str, whom: str) -> Interruption:
        now = self._now()
        self.interruptions.append(Interruption(what, whom, now, now))
        return self.interruptions[-1]

    def _log_line(self, text: str) -> None:
        line = f"{self._now():7.2f} s  {text}"
        with self._log.open("a") as log:
            log.write(line + "\n")
        self._print_line(line)

    def _apply(self, fault: Fault) -> None:
        self._begin_interruption(fault.what, fault.whom)
        was_possible = self._start_fault(fault)
        kind = fault.what + (f" {fault.whom}" if fault.what in MODES else "")
        self.done[kind] = self.done.get(kind, 0) + bool(was_possible)
        self._log_line(str(fault) if was_possible else f"{fault}: not possible now")

    def _start_fault(self, fault: Fault) -> bool:
        whom, seconds = fault.whom, fault.seconds
        match fault.what:
            case "kill":
                return self._kill(whom, seconds)
            case "pause":
                return self._pause(whom, seconds)
            case "fill the disk of":
                return self._fill(seconds)
            case "damage the outbox of" | "truncate the outbox of":
                self._damage_outbox(whom, tear=fault.what.startswith("truncate"))
            case schedule.KILL_PERMANENTLY:
                self._kill_host(whom)
            case schedule.RESTORE | schedule.FAIL_OVER:
                self._copy_database(fault)
            case "poison":
                self._poisoner.send(5)
            case "stop":
                self._stop_registry(seconds)
            case mode:
                proxy = self._deployment.proxies.by_name[whom]
                proxy.set(mode, 0.3 if mode == "delay" else 0.0)  # type: ignore[arg-type]
                self._schedule_later(seconds, lambda: proxy.set("pass"), f"the connection {whom} works again")
        return True

    def _kill(self, whom: str, seconds: float) -> bool:
        if whom in {"broker", "database"}:
            self._deployment.kill_server(whom)
            self._schedule_later(seconds, lambda: self._deployment.start_server(whom), f"{whom} is started again")
            return True
        if not self._deployment.kill(whom):
            return False
        self._schedule_later(seconds, lambda: self._deployment.restart(whom), f"{whom} is started again")
        return True

    def _copy_database(self, fault: Fault) -> None:
        """Copy the database when it has publications and no other copy is in use; later the copy replaces it."""
        if self._is_database_copied or not self._has_publications(0, fault.at):
            self._schedule(self._now() + 1, partial(self._copy_database, fault))
            return
        self._is_database_copied = True
        database = self._deployment.database
        copy = database.back_up() if fault.what == schedule.RESTORE else database.start_standby()
        due_at = self._now() + fault.seconds
        self._schedule(due_at, partial(self._replace_database, fault, copy, due_at))

    def _has_publications(self, since: float, due_at: float) -> bool:
        """Return whether the database works and has publications later than a Unix time, or has had time for them."""
        deployment = self._deployment
        if not deployment.works("database"):
            return False
        try:
            with psycopg.connect(deployment.database_url, connect_timeout=1) as connection:
                query = "select exists (select from stumble_durable.publications where revision > %s)"
                ((has_some,),) = connection.execute(query, (int(since * MICROS),)).fetchall()
        except psycopg.OperationalError:
            return False
        return bool(has_some) or self._now() > due_at + _COMMIT_SECONDS

    def _replace_database(self, fault: Fault, copy: Copy, due_at: float) -> None:
        """Replace the database by a copy as soon as the copy lacks publications."""
        if not self._has_publications(copy.at, due_at):
            self._schedule(self._now() + 1, partial(self._replace_database, fault, copy, due_at))
            return
        interruption = self._begin_interruption(fault.what, "database")
        if fault.what == schedule.RESTORE:
            self._deployment.restore_database(copy)
        else:
            self._deployment.fail_over(copy)
        self._is_database_copied = False
        interruption.end = self._now()
        lost = self._deployment.database.losses[-1]
        self._log_line(f"the database has lost the commits of {lost.end - lost.begin:.1f} s")

    def _kill_host(self, host: str) -> None:
        """Kill a host permanently as soon as the store has its unfinished requests."""
        try:
            with psycopg.connect(self._deployment.database_url, connect_timeout=1) as connection:
                stored = connection.execute(
                    "select 1 from stumble_derived.requests where request_key = any(%s::uuid[])",
                    (self.on_dead_host.keys(),),
                ).fetchall()
        except psycopg.OperationalError:
            stored = []
        if len(stored) < len(self.on_dead_host.requests):
            self._schedule(self._now() + 0.5, lambda: self._kill_host(host))
            return
        self._deployment.kill_permanently(f"relay-{host}")

        def kill_emitters() -> None:
            for name in self._deployment.cast.of_host(host):
                self._deployment.kill_permanently(name)

        self._schedule_later(1.5, kill_emitters, f"{host} is dead, with the events that its relay had not sent")

    def _pause(self, whom: str, seconds: float) -> bool:
        deployment = self._deployment
        if whom in {"broker", "database"}:
            if not deployment.suspend_server(whom):
                return False
            self._schedule_later(seconds, partial(deployment.resume_server, whom), f"{whom} is resumed")
            return True
        if not deployment.signal(whom, signal.SIGSTOP):
            return False
        self._schedule_later(seconds, lambda: deployment.signal(whom, signal.SIGCONT), f"{whom} is resumed")
        return True

    def _fill(self, seconds: float) -> bool:
        if self._deployment.disk is None:
            return False
        filler = self._deployment.disk / "filler"
        with filler.open("ab", buffering=0) as file:
            try:
                while file.write(b"\0" * (1 << 20)):
                    pass
            except OSError:
                pass
        self._schedule_later(seconds, lambda: filler.unlink(missing_ok=True), "the disk has free space again")
        return True

    def _stop_registry(self, seconds: float) -> None:
        """A relay and a projector start without the registry; a record with an unknown schema id must wait."""
        deployment = self._deployment
        registry_proxy = deployment.proxies.by_name["registry"]
        registry_proxy.set("refuse")
        for name in (f"relay-{self._rng.choice(deployment.cast.hosts)}", self._rng.choice(deployment.cast.projectors)):
            if deployment.kill(name):
                self._begin_interruption("kill", name)
                self._schedule_later(0.5, partial(deployment.restart, name), f"{name} is started without a registry")
        self._begin_interruption("stop", "registry")
        self._schedule_later(1.0, lambda: self._poisoner.send(0), "a record with an unknown schema id is sent")
        self._schedule_later(seconds, lambda: registry_proxy.set("pass"), "the registry is available again")

    def _damage_outbox(self, host: str, *, tear: bool) -> None:
        """Kill the host's relay, wait for a backlog, then damage it; a power failure ends the emitters, too."""
        deployment = self._deployment
        relay = f"relay-{host}"
        deployment.kill(relay)
        interruption = self._begin_interruption("kill", relay)
        before = damage.sizes(deployment.outbox(host))
        started_at = self._now()

        def damage_backlog() -> None:
            backlog = sum(damage.sizes(deployment.outbox(host)).values()) - sum(before.values())
            if backlog < _BACKLOG_BYTES and self._now() - started_at < _BACKLOG_SECONDS:
                self._schedule(self._now() + 0.2, damage_backlog)
                return
            emitters = deployment.cast.of_host(host)
            if tear:
                killed = [name for name in emitters if deployment.kill(name)]
                damaged = damage.tear(deployment.outbox(host), before, self._rng)
            else:
                for name in emitters:
                    deployment.signal(name, signal.SIGSTOP)
                killed = []
                damaged = damage.flip(deployment.outbox(host), before, self._rng)
                for name in emitters:
                    deployment.signal(name, signal.SIGCONT)
            self.damaged |= damaged
            self._log_line(f"{len(damaged)} undelivered events of {host} are damaged; the host continues")
            for name in (relay, *killed):
                deployment.restart(name)
            interruption.end = self._now()

        self._schedule(started_at + 0.5, damage_backlog)
