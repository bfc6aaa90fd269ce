"""One child process: started, identified by pid and start time, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stumble.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ChildProcess", "last_log_line", "read_log_tail", "require_reachable", "start_time"]

_GUARD = Path(__file__).with_name("guard.py")
_POLL = 0.02  # seconds between two checks of a process that should end


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot (field 22 of /proc/PID/stat); None if it has ended.

    A pid alone is reused; a pid with its start time names one process for as long as the machine runs.
    A zombie counts as ended: it holds no port and no file.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def read_log_tail(path: Path, lines: int = 5, begin: int = 0) -> str:
    """Return the last `lines` lines of a log file from byte `begin` on, or a hint that there is none."""
    try:
        text = path.read_bytes()[begin:][-20_000:].decode(errors="replace").strip()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(nothing logged)"


def last_log_line(path: Path, begin: int = 0) -> str:
    """Return the error message of a stumble command from its log, else the last line of the log."""
    lines = read_log_tail(path, 10, begin).splitlines()
    own = [line.removeprefix("stumble: ") for line in lines if line.startswith("stumble: ")]
    return own[-1] if own else lines[-1]


def require_reachable(user: str, *folders: Path) -> None:
    """Raise LocalError unless a program that root starts as `user` reaches all `folders`."""
    command: list[str | Path] = [sys.executable, "-I", "-S", _GUARD, "check", user, *folders]
    check = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  # no untrusted input
    if check.returncode:
        raise LocalError(check.stderr.strip())


class ChildProcess:
    """A named child with a pid file and a log file in `state`.

    It ends with this process, even if this process is killed with -9: by `death_signal`. Call :meth:`start`
    from the main thread: the kernel ties the death signal to the thread that started the child.
    """

    def __init__(self, name: str, state: Path, *, death_signal: signal.Signals = signal.SIGKILL) -> None:
        self.name = name
        self.log = state / "logs" / f"{name}.log"
        self._pid_file = state / f"{name}.pid"
        self._death_signal = death_signal
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the running child, or None."""
        return self._popen.pid if self._popen is not None and self._popen.poll() is None else None

    @property
    def exit_status(self) -> int | None:
        """The child's exit status (negative: the signal), None while it runs or before it was started."""
        return None if self._popen is None else self._popen.poll()

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        terminal: bool = False,
    ) -> None:
        """Start `argv` in a session of its own (only the parent handles Ctrl-C at the terminal).

        Output goes to the log file, with `terminal` to this process's own standard output.
        Raises LocalError if the process of an earlier run can't be ended.
        """
        self.end_leftover()
        # The output holds texts of exceptions, which no other user of this machine may read.
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        guard: list[str | Path] = [
            sys.executable,
            "-I",
            "-S",
            _GUARD,
            str(int(self._death_signal)),
            str(os.getpid()),
            user or "-",
            "--",
        ]
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: S603  # no untrusted input
                [*guard, *argv],
                env=None if env is None else {**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=None if terminal else log,
                stderr=None if terminal else log,
                start_new_session=True,
            )
        self._pid_file.write_text(f"{self._popen.pid} {start_time(self._popen.pid)}\n")

    def end_leftover(self) -> None:
        """End the process of an earlier run if it still runs (same pid and start time)."""
        try:
            pid, started = (int(number) for number in self._pid_file.read_text().split())
        except (FileNotFoundError, ValueError):
            return
        for number in (self._death_signal, signal.SIGKILL):
            deadline = time.monotonic() + 10
            while start_time(pid) == started and time.monotonic() < deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                time.sleep(0.2)
        if start_time(pid) == started:
            raise LocalError(f"{self.name} of an earlier run (pid {pid}) cannot be ended; end it with: kill -9 {pid}")
        self._pid_file.unlink(missing_ok=True)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout: float = 10.0) -> bool:
        """Send `number`, wait up to `timeout` seconds, then kill. Return whether it ended without being killed."""
        if self._popen is None:
            return True
        in_time = True
        if self._popen.poll() is None:
            self._popen.send_signal(number)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                in_time = False
                self._popen.kill()
                self._popen.wait()
        self._pid_file.unlink(missing_ok=True)
        return in_time

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send `number` without waiting; :meth:`stop` waits."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(number)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Run `argv` to its end. Raises LocalError with the end of its log if it fails or takes too long."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        self.start(argv, env=env, user=user)
        deadline = time.monotonic() + timeout
        try:
            while self.exit_status is None and time.monotonic() < deadline:
                time.sleep(_POLL)
            status = self.exit_status
        finally:
            self.stop()
        if status != 0:
            how = f"took longer than {timeout:.0f} s" if status is None else f"failed with status {status}"
            reason = last_log_line(self.log, begin)
            raise LocalError(f"{self.name} {how}: {reason} (log: {self.log})")

    def require_running(self) -> None:
        """Raise LocalError with the end of the log if the child has ended."""
        if self.exit_status is not None:
            raise LocalError(
                f"{self.name} ended with status {self.exit_status}, see {self.log}:\n{read_log_tail(self.log)}"
            )
