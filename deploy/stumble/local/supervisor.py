"""Watch over stumble's own roles: start them, restart one that ends, stop all in the order the data flows."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stumble.local.errors import LocalError
from stumble.local.process import ChildProcess, last_words

__all__ = ["Role", "Supervisor"]

#: Seconds before a role is started again, the first time and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Seconds that a role has to stop by itself.
STOP_SECONDS = 10.0
_STEADY = 60.0  # a role that ran this long starts over with the first wait
_LOOK = 0.2  # seconds between two looks at the roles


@dataclass(frozen=True)
class Role:
    """One role: ``stumble ARGUMENTS`` with `env` beside the common one.

    With `terminal` it writes where its supervisor does. A `finite` one may end with status 0. A `vital` one that
    gives up ends everything; if it is killed it is started again as others are.
    Roles of a lower `stage` are stopped first: who makes events before who reads them.
    """

    name: str
    arguments: tuple[str, ...]
    stage: int
    env: Mapping[str, str] = field(default_factory=dict)
    terminal: bool = False
    finite: bool = False
    vital: bool = False


class _Watched:
    """A role with its process and what happened to it so far."""

    def __init__(self, role: Role, state: Path) -> None:
        self.role = role
        self.process = ChildProcess(role.name, state)
        self.restarts = 0
        self.started = 0.0
        self.again_at: float | None = None
        self.done = False


class Supervisor:
    """Starts roles with the environment `env` and tells `say` in one line of whatever ends by itself.

    `command` is what a role's arguments are put behind; `first_pause` and `stop_seconds` are seconds.
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
        """Run ``stumble ARGUMENTS`` to its end. Raises LocalError with its own sentence if it fails."""
        process = ChildProcess(name, self._state)
        process.run([*self._command, *arguments], env=self._env, timeout=120)

    def start(self, role: Role) -> None:
        """Start a role and watch over it from now on."""
        watched = _Watched(role, self._state)
        self._watched.append(watched)
        self._launch(watched)

    def watch(self) -> Iterator[None]:
        """Look after the roles for ever; yields after each look, several times a second.

        Raises LocalError when a vital role has given up.
        """
        while True:
            for watched in self._watched:
                self._look(watched)
            yield
            time.sleep(_LOOK)

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float) -> None:
        """Look after the roles until `ready()`. Raises LocalError if that takes longer than `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for _ in self.watch():
            if ready():
                return
            if time.monotonic() > deadline:
                raise LocalError(f"{what} wasn't ready in {timeout:.0f} s; see the logs in {self._state / 'logs'}")

    def pids(self) -> list[int]:
        """Return the process ids of the roles that run, in the order of their start."""
        return [watched.process.pid for watched in self._watched if watched.process.pid is not None]

    def stop(self) -> None:
        """Stop all roles, stage by stage; within a stage at once. Leaves none running."""
        for stage in sorted({watched.role.stage for watched in self._watched}):
            together = [watched.process for watched in self._watched if watched.role.stage == stage]
            for process in together:
                process.ask_to_stop()
            for process in together:
                if not process.stop(timeout=self._stop_seconds):
                    late = f"{process.name} did not stop within {self._stop_seconds:.0f} s and was killed"
                    self._say(f"{late}; it continues where it was")
        self._watched.clear()

    def _launch(self, watched: _Watched) -> None:
        role = watched.role
        command = [*self._command, *role.arguments]
        watched.started = time.monotonic()
        watched.again_at = None
        watched.process.start(command, env={**self._env, **role.env}, terminal=role.terminal)

    def _look(self, watched: _Watched) -> None:
        status, now = watched.process.exit_status, time.monotonic()
        if watched.done or status is None:
            return
        if status == 0 and watched.role.finite:
            watched.done = True
            self._say(f"{watched.role.name} has finished")
        elif status > 0 and watched.role.vital:
            raise LocalError(f"{watched.role.name} gave up, so all of them end")
        elif watched.again_at is None:
            self._plan_restart(watched, status, now)
        elif now >= watched.again_at:
            self._launch(watched)

    def _plan_restart(self, watched: _Watched, status: int, now: float) -> None:
        watched.restarts = 0 if now - watched.started > _STEADY else watched.restarts + 1
        wait = min(self._first_pause * 2 ** max(watched.restarts - 1, 0), LONGEST_PAUSE)
        watched.again_at = now + wait
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        terminal, log = watched.role.terminal, watched.process.log  # who writes to the terminal has said why there
        reason = "" if terminal or status < 0 else f": {last_words(log)}"
        where = "" if terminal else f" ({log})"
        with contextlib.suppress(BrokenPipeError):
            self._say(f"{watched.role.name} {how}{reason}; starting it again in {wait:.0f} s{where}")
