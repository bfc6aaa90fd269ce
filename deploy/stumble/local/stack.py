"""Everything on one machine: Kafka, PostgreSQL, stumble's roles and a simulated fleet, until the user stops it."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import shlex
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stumble.local.errors import LocalError
from stumble.local.jars import DownloadProgress
from stumble.local.kafka import LocalKafka
from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.postgres import LocalPostgres
from stumble.local.supervisor import Role, Supervisor
from stumble.settings.base import load_settings

__all__ = ["LocalStack", "RunOptions"]

_KAFKA, _DATABASE = "STUMBLE_KAFKA__BOOTSTRAP_SERVERS", "STUMBLE_DATABASE_URL"
_KEYS = "STUMBLE_SUBSCRIPTION_KEYS"
#: Default ports of the roles' HTTP endpoints; a role uses another port if its default is not free.
_PORTS = {"api": 8686, "projector": 8687, "alerter": 8688, "relay": 8689}
_DISK_SPACE = 300  # megabytes; empty, Kafka and PostgreSQL use a third of it
# Roles stop in these stages: those that show failures, make events, send events, read events.
_SHOW, _MAKE, _SEND, _READ = range(4)


@dataclass(frozen=True)
class RunOptions:
    """What to start; None leaves the choice to the simulator."""

    state: Path
    instances: int | None = None
    rate: float | None = None
    failures: str | None = None
    seed: int | None = None
    simulate: bool = True
    follow: bool = True
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class LocalStack:
    """All servers and roles. :meth:`run` ends only by an exception, and leaves nothing running."""

    def __init__(self, options: RunOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._state = options.state.absolute()
        self._say = say
        self._postgres = LocalPostgres(self._state)
        self._servers: list[LocalKafka | LocalPostgres] = []
        self._started = 0.0
        self._env: dict[str, str] = {}
        self._metrics: dict[str, dict[str, str]] = {}

    def run(self) -> None:
        """Start everything and supervise it until KeyboardInterrupt. Raises LocalError if it can't start."""
        self._started = time.monotonic()
        with self._only_one(), ExitStack() as stack:
            self._check_folder()
            stack.callback(self._stop_servers)
            kafka = self._launch_kafka()
            self._env = self._environment(kafka)
            supervisor = Supervisor(self._state, self._env, self._say)
            stack.callback(supervisor.stop)
            self._prepare(supervisor, kafka)
            self._start_roles(supervisor)
            self._announce()
            for role in self._shown_roles():
                supervisor.start(role)
            for _ in supervisor.watch():
                self._revive_servers()

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise LocalError(
                    f"stumble already runs with its state in {self._state} (pid {lock.read().strip()}); "
                    "stop that run with Ctrl-C, or use another folder: make run STATE=…"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def _check_folder(self) -> None:
        """Raise LocalError, before anything is fetched or started, if the state folder can't be used."""
        free = shutil.disk_usage(self._state).free // 10**6
        if free < _DISK_SPACE:
            raise LocalError(
                f"the disk of {self._state} has {free} MB free, and stumble needs {_DISK_SPACE} MB to start; "
                "free some space there, or name a folder on another disk: make run STATE=…"
            )
        if os.statvfs(self._state).f_flag & os.ST_NOEXEC and not self._options.environment.get(_KAFKA):
            raise LocalError(
                f"the disk of {self._state} is mounted noexec, and Kafka loads native libraries from there; "
                "name a folder on another disk: make run STATE=…"
            )
        if not self._options.environment.get(_DATABASE):
            self._postgres.require_access()

    def _environment(self, kafka: LocalKafka | None) -> dict[str, str]:
        """Return the environment of the roles; starts PostgreSQL unless one is given."""
        given = self._options.environment
        env = {
            _KAFKA: kafka.bootstrap_servers if kafka else given[_KAFKA],
            _DATABASE: given.get(_DATABASE) or self._start_postgres(),
            "STUMBLE_STATE_DIR": str(self._state),
            "STUMBLE_OUTBOX_DIR": given.get("STUMBLE_OUTBOX_DIR") or str(self._state / "outbox"),
            # The simulator's events name the hosts of a whole fleet.
            "STUMBLE_RELAY_BRIDGE_USERS": given.get("STUMBLE_RELAY_BRIDGE_USERS") or str(os.geteuid()),
        }
        if load_settings().subscription_keys is None:
            env[_KEYS] = self._subscription_key()
        ports = {name: remembered_port(self._state, name, wanted=port) for name, port in _PORTS.items()}
        self._metrics = {name: {"STUMBLE_METRICS_PORT": str(ports[name])} for name in _PORTS if name != "api"}
        env["STUMBLE_API_PORT"] = given.get("STUMBLE_API_PORT") or str(ports["api"])
        env["STUMBLE_API_URL"] = f"http://{LOOPBACK}:{env['STUMBLE_API_PORT']}"
        return env

    def _subscription_key(self) -> str:
        """Return this stack's key for the secrets of subscriptions; the first call creates it."""
        path = self._state / "subscription_keys"
        if not path.exists():
            key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(f"{key}\n")
        return path.read_text().strip()

    def _launch_kafka(self) -> LocalKafka | None:
        """Start Kafka without waiting, unless one is given: its start takes longest, so the rest happens meanwhile."""
        if self._options.environment.get(_KAFKA):
            return None
        kafka = LocalKafka(self._state, quick=True)
        self._servers.append(kafka)
        self._say(f"Starting Kafka … (the logs of everything that starts are in {self._state / 'logs'})")
        kafka.launch(progress=DownloadProgress())
        return kafka

    def _start_postgres(self) -> str:
        self._servers.append(self._postgres)
        self._say("Starting PostgreSQL …")
        self._postgres.start()
        return self._postgres.create_database("stumble")

    def _prepare(self, supervisor: Supervisor, kafka: LocalKafka | None) -> None:
        Path(self._env["STUMBLE_OUTBOX_DIR"]).mkdir(parents=True, exist_ok=True)
        self._say("Creating or migrating the tables of the store …")
        supervisor.run("migrate", "store", "migrate")
        if kafka:
            self._say("Waiting for Kafka …")
            kafka.wait()
        self._say("Creating the topics …")
        supervisor.run("topics", "topics", "apply")

    def _start_roles(self, supervisor: Supervisor) -> None:
        for name, stage in (("projector", _READ), ("alerter", _READ), ("api", _READ), ("relay", _SEND)):
            supervisor.start(Role(name, (name,), stage, self._metrics.get(name, {})))
        self._say("Starting projector, alerter, API and relay …")
        supervisor.wait_until(self._api_ready, "The API", 60)

    def _shown_roles(self) -> Iterator[Role]:
        if self._options.follow:
            yield Role("failures", ("failures", "--follow"), _SHOW, terminal=True)
        if self._options.simulate:
            yield Role("simulate", ("simulate", *self._simulator_arguments()), _MAKE, finite=True)

    def _simulator_arguments(self) -> list[str]:
        # A random seed for every run, unless one is given: the same seed makes the same events again.
        seed = self._options.seed if self._options.seed is not None else secrets.randbelow(10**6)
        self._say(f"The fleet is simulated with seed {seed} (SEED={seed} repeats it)")
        options = {
            "instances": self._options.instances,
            "rate": self._options.rate,
            "failures": self._options.failures,
            "seed": seed,
        }
        return [text for name, value in options.items() if value is not None for text in (f"--{name}", str(value))]

    def _api_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._env["STUMBLE_API_URL"] + "/readyz", timeout=2) as reply:  # noqa: S310  # http
                return bool(reply.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _announce(self) -> None:
        url = self._env["STUMBLE_API_URL"]
        env_file = self._state / "env"
        with os.fdopen(os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in self._env.items())
            file.write(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n')
        ports = ", ".join(f"{name} {env['STUMBLE_METRICS_PORT']}" for name, env in self._metrics.items())
        self._say(
            f"Ready after {time.monotonic() - self._started:.0f} s\n\n  Web page  {url}/\n"
            f"  API       {url}/docs\n"
            f"  Metrics   {url}/metrics   (each role's own, on port: {ports})\n"
            f"  Kafka     {self._env[_KAFKA]}\n"
            f"  Logs      {self._state / 'logs'}\n"
            f"  In another terminal:  . {shlex.quote(str(env_file))}; stumble --help\n\n"
            "Ctrl-C stops everything." + (" New failures:\n" if self._options.follow else "")
        )

    def _revive_servers(self) -> None:
        for server in self._servers:
            if server.process.exit_status is not None:
                self._say(f"{server.process.name} ended with status {server.process.exit_status}; starting it again")
                server.start()

    def _stop_servers(self) -> None:
        for server in self._servers:
            server.process.ask_to_stop(server.stop_signal)
        for server in self._servers:
            server.stop()
