"""A RabbitMQ server of Debian's package, in a folder and on ports of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess, read_log_tail

_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_CTL = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")


def require_rabbitmq() -> None:
    """Skip the test where the server isn't installed."""
    if not _SERVER.exists():
        pytest.skip("RabbitMQ isn't installed: apt-get install rabbitmq-server")


class LocalRabbit:
    """One node; :meth:`start` and :meth:`stop`."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.process = ChildProcess("rabbitmq", state, death_signal=signal.SIGTERM)
        self._epmd = ChildProcess("epmd", state)  # otherwise the server starts one that outlives it
        self.port = remembered_port(state, "amqp")
        self._epmd_environment = {
            "ERL_EPMD_PORT": str(remembered_port(state, "epmd")),
            "ERL_EPMD_ADDRESS": LOOPBACK,
        }
        self.url = f"rabbit://guest:guest@{LOOPBACK}:{self.port}/"

    def start(self) -> str:
        """Start the server, wait until it accepts connections, return its URL in oslo.messaging's form."""
        home, port = self._state / "home", remembered_port(self._state, "distribution")
        home.mkdir(exist_ok=True)
        for name, text in {"plugins": "[].\n", "flags": "[].\n"}.items():
            if not (self._state / name).exists():
                (self._state / name).write_text(text)
        if self._epmd.pid is None:
            self._epmd.start(["/usr/bin/epmd"], env=self._epmd_environment)
        self.process.start(
            [_SERVER],
            env={
                "HOME": str(home),
                "RABBITMQ_NODENAME": f"stumble-{self.port}@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
                "RABBITMQ_NODE_PORT": str(self.port),
                "RABBITMQ_DIST_PORT": str(port),
                "RABBITMQ_MNESIA_BASE": str(self._state / "mnesia"),
                "RABBITMQ_LOG_BASE": str(self._state / "log"),
                "RABBITMQ_FEATURE_FLAGS_FILE": str(self._state / "flags"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._state / "plugins"),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
                **self._epmd_environment,
            },
        )
        self._wait()
        return self.url

    def stop(self) -> None:
        """Stop the server."""
        self.process.stop(timeout=20)
        self._epmd.stop()

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against this server and return what it prints."""
        own = {
            "HOME": str(self._state / "home"),
            "RABBITMQ_NODENAME": f"stumble-{self.port}@localhost",
            **self._epmd_environment,
        }
        done = subprocess.run(
            [_CTL, "--quiet", *arguments],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments[0]}: {done.stderr or done.stdout}"
        return done.stdout

    def queues(self) -> dict[str, int]:
        """Return how many messages each queue has."""
        lines = self.ctl("list_queues", "--no-table-headers", "name", "messages").splitlines()
        return {name: int(count) for name, count in (line.split("\t") for line in lines if "\t" in line)}

    def kill(self) -> None:
        """Kill the server with -9."""
        self.process.stop(signal.SIGKILL)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.process.require_running()
            try:
                with socket.create_connection((LOOPBACK, self.port), 2) as connection:
                    connection.sendall(b"AMQP\x00\x00\x09\x01")
                    if connection.recv(1):
                        return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"RabbitMQ wasn't ready: {read_log_tail(self.process.log, 30)}")
