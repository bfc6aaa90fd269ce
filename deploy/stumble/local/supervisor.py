"""Supervise stumble's roles: start them, restart one that ends, stop all in the order of the data flow."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stumble.local.errors import LocalError
from stumble.local.process import ChildProcess, last_log_line

__all__ = ["Role", "Supervisor"]

#: Seconds before a role is started again, the first time and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Seconds that a role has to stop by itself.
STOP_SECONDS = 10.0
_STEADY = 60.0  # seconds; a role that ran this long waits the first pause again
_CHECK_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Role:
    """One role: ``stumble ARGUMENTS`` with `env` in addition to the common environment.

    With `terminal` it writes to its supervisor's output. A `finite` one may end with status 0. A `vital` one that ends
    with an error ends all roles; if it is killed it is started again like the others.
    Roles of a lower `stage` are stopped first: those that make events before those that read them.
    """

    name: str
    arguments: tuple[str, ...]
    stage: int
    env: Mapping[str, str] = field(default_factory=dict)
    terminal: bool = False
    finite: bool = False
    vital: bool = False


class _Watched:
    """A role with its process and its restarts."""

    def __init__(self, role: Role, state: Path) -> None:
        self.role = role
        self.process = ChildProcess(role.name, state)
        self.restarts = 0
        self.started = 0.0
        self.again_at: float | None = None
        self.done = False


class Supervisor:
    """Starts roles with the environment `env`; calls `say` with one line for each role that ends by itself.

    `command` precedes the arguments of a role; `first_pause` and `stop_seconds` are seconds.
    """

    def __init__(
        self,
        state: Path,
        env: Mapping[str, str],
        say: Callable[[str], None],
        command: Sequence[str] = (sys.executable, "-m", "stumble.cli"),
        *,
        first_pause: float = FIRST_PAUSE,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._first_pause, self._stop_seconds = first_pause, stop_seconds
        self._command = command
        self._state = state
        self._env = dict(env)
        self._say = say
        self._watched: list[_Watched] = []

    def run(self, name: str, *arguments: str) -> None:
        """Run ``stumble ARGUMENTS`` to its end. Raises LocalError with its error message if it fails."""
        process = ChildProcess(name, self._state)
        process.run([*self._command, *arguments], env=self._env, timeout=120)

    def start(self, role: Role) -> None:
        """Start a role and supervise it from now on."""
        watched = _Watched(role, self._state)
        self._watched.append(watched)
        self._launch(watched)

    def watch(self) -> Iterator[None]:
        """Supervise the roles without end; yields after each check, several times a second.

        Raises LocalError when a vital role has ended with an error.
        """
        while True:
            for watched in self._watched:
                self._check(watched)
            yield
            time.sleep(_CHECK_EVERY)

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float) -> None:
        """Supervise the roles until `ready()`. Raises LocalError if that takes longer than `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for _ in self.watch():
            if ready():
                return
            if time.monotonic() > deadline:
                raise LocalError(f"{what} was not ready within {timeout:.0f} s; see the logs in {self._state / 'logs'}")

    def pids(self) -> list[int]:
        """Return the process ids of the roles that run, in the order of their start."""
        return [watched.process.pid for watched in self._watched if watched.process.pid is not None]

    def stop(self) -> None:
        """Stop all roles, stage by stage; within a stage at the same time. Leaves none running."""
        for stage in sorted({watched.role.stage for watched in self._watched}):
            together = [watched.process for watched in self._watched if watched.role.stage == stage]
            for process in together:
                process.ask_to_stop()
            for process in together:
                if not process.stop(timeout=self._stop_seconds):
                    late = f"{process.name} did not stop within {self._stop_seconds:.0f} s and was killed"
                    self._say(f"{late}; the next start continues its work")
        self._watched.clear()

    def _launch(self, watched: _Watched) -> None:
        role = watched.role
        command = [*self._command, *role.arguments]
        watched.started = time.monotonic()
        watched.again_at = None
        watched.process.start(command, env={**self._env, **role.env}, terminal=role.terminal)

    def _check(self, watched: _Watched) -> None:
        status, now = watched.process.exit_status, time.monotonic()
        if watched.done or status is None:
            return
        if status == 0 and watched.role.finite:
            watched.done = True
            self._say(f"{watched.role.name} has finished")
        elif status > 0 and watched.role.vital:
            raise LocalError(f"{watched.role.name} ended with status {status}, so all roles are stopped")
        elif watched.again_at is None:
            self._plan_restart(watched, status, now)
        elif now >= watched.again_at:
            self._launch(watched)

    def _plan_restart(self, watched: _Watched, status: int, now: float) -> None:
        watched.restarts = 0 if now - watched.started > _STEADY else watched.restarts + 1
        wait = min(self._first_pause * 2 ** max(watched.restarts - 1, 0), LONGEST_PAUSE)
        watched.again_at = now + wait
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        # A role that writes to the terminal has shown the reason there.
        terminal, log = watched.role.terminal, watched.process.log
        reason = "" if terminal or status < 0 else f": {last_log_line(log)}"
        where = "" if terminal else f" ({log})"
        with contextlib.suppress(BrokenPipeError):
            self._say(f"{watched.role.name} {how}{reason}; starting it again in {wait:.0f} s{where}")
