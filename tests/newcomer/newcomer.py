"""A newcomer (a new user): a home, a clone, an environment, and the commands that this user runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT = 900.0  # seconds for each wait
STOP = 30.0  # seconds until a command must end after Ctrl-C
#: Settings of the machine's administrator with which pip, Maven and TLS reach the network; a newcomer has them, too.
NETWORK = re.compile(
    r"(?i:https?_proxy|no_proxy|all_proxy)|PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|STUMBLE_MAVEN_REPOSITORY"
)


class RowFailed(Exception):
    """A row has failed; the text gives the expected and the actual result."""


class RowSkipped(Exception):
    """A row can't be run here; the text gives the reason and what to install."""


@dataclass
class Newcomer:
    """One newcomer: a home, a clone, an environment, and how commands are run as this user."""

    folder: Path
    home: Path
    clone: Path
    python: str
    #: The root directory of `home` and `clone`.
    root: Path = Path("/")
    umask: str = "022"
    #: Shell commands that root runs in a mount namespace before each command; $FOLDER is `folder`.
    mounts: str = ""
    #: Put before each command, after the mounts.
    wrapper: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(init=False)
    commands: list[Command] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if NETWORK.fullmatch(name)}
        path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        if "/" in self.python:
            path = f"{Path(self.python).parent}:{path}"
        self.environment = {
            **inherited, "HOME": str(self.home), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8", "SHELL": "/bin/sh",
            "NEWCOMER_ROW": uuid.uuid4().hex,
        }  # fmt: skip

    def make(self, *arguments: str) -> Command:
        """Start `make ARGUMENTS` in the clone."""
        python = [f"PYTHON={self.python}"] if "/" in self.python else []
        inner = [*self.wrapper, "sh", "-c", f'umask {self.umask}; cd "$1" && shift && exec "$@"', "sh", str(self.clone)]
        command = [*inner, "make", *arguments, *python]
        if self.mounts:
            outer = f'FOLDER="$1"; shift; {self.mounts} && exec "$@"'
            command = ["unshare", "--mount", "sh", "-e", "-c", outer, "sh", str(self.folder), *command]
        started = Command(command, self.environment, self.folder / f"output-{len(self.commands)}.txt")
        self.commands.append(started)
        return started

    def beside_the_clone(self) -> set[str]:
        """Return the names in the folder that holds the clone, without caches."""
        return {path.name for path in (self.root / self.clone.relative_to("/")).parent.iterdir()} - {".cache"}

    def processes(self) -> list[str]:
        """Return the command lines of all running processes that this newcomer's commands have started."""
        mark = f"NEWCOMER_ROW={self.environment['NEWCOMER_ROW']}".encode()
        command_lines = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    text = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    command_lines.append(text[:200])
        return command_lines

    def stop(self) -> None:
        """Stop the running commands and the processes that they have started."""
        for command in self.commands:
            command.stop()


class Command:
    """A started command in a process group of its own, as in a terminal; its output goes to a file."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def text(self) -> str:
        """Return the output so far."""
        return self._output.read_text(errors="replace")

    def wait_for(self, pattern: str) -> str:
        """Wait until the output matches; return the first group."""
        deadline = time.monotonic() + TIMEOUT
        while not (match := re.search(pattern, self.text())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RowFailed(f"no {pattern!r} in the output:\n{self.text()[-3000:]}")
            time.sleep(0.2)
        return match[1]

    def ended(self) -> int:
        """Wait for the end; return the exit status."""
        return self._process.wait(TIMEOUT)

    def press_ctrl_c(self) -> None:
        """Send SIGINT to the whole process group, as the terminal does."""
        os.killpg(self._process.pid, signal.SIGINT)

    def stop(self) -> None:
        """Stop the process group if it runs: with Ctrl-C, so that pip removes its temporary files, or SIGKILL."""
        if self._process.poll() is None:
            self.press_ctrl_c()
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
