"""Servers behind proxies, and each role as a process that can be killed, stopped and started by name."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from stumble.local.kafka import LocalKafka
from stumble.local.ports import LOOPBACK, free_port, remembered_port
from stumble.local.process import ChildProcess, last_log_line
from stumble.local.registry import LocalRegistry
from stumble.store.connect import connect
from stumble.wire.topics import Topics
from tests.chaos import hostile, telling
from tests.chaos.database import Copy, RunDatabase
from tests.chaos.emitting import PLAN
from tests.chaos.fleet import Plan
from tests.chaos.processes import signal_all, with_children
from tests.chaos.proxy import Proxies
from tests.chaos.receiving import DRIP
from tests.chaos.schedule import TRANSACTIONS, Cast, host_of
from tests.support.services import ROOT, ROOTS
from tests.support.subscribers import KEY, subscribe

PARTITIONS = 12
STUMBLE = (sys.executable, "-m", "stumble.cli")
#: Seconds of silence after which a host counts as dead: longer than any other fault of a host.
SILENT_AFTER = 25
#: Space for a live segment of up to 8 MiB of each emitter of the host, and some more.
DISK_MIB = 40
#: The hosts of the simulated fleet: each relay sends events of all of them, and of its own host.
FLEET_HOSTS = "compute-*,conductor-*,api-*"
#: Webhook receivers that never finish an answer: more than the alerter has workers.
DRIPPING_RECEIVERS = 12
FAKETIME = Path(f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1")


@dataclass
class Role:
    """A process: its command, and how it ended by itself."""

    process: ChildProcess
    command: tuple[str, ...]
    env: dict[str, str]
    finite: bool = False
    should_run: bool = True
    done: bool = False
    ended: list[str] = field(default_factory=list)


class Deployment:
    """All servers and roles of a run. To be started and stopped in the main thread."""

    def __init__(self, folder: Path, cast: Cast, print_line: Callable[[str], None]) -> None:
        self.folder = folder
        self.cast = cast
        self.print_line = print_line
        self.roles: dict[str, Role] = {}
        self.exit_stack = ExitStack()
        self.proxies = Proxies()
        self.exit_stack.callback(self.proxies.close)
        self.secrets: dict[str, str] = {}
        self.started_at = 0.0
        self.disk: Path | None = None
        self._suspended: dict[str, list[int]] = {}
        #: The ports of the processes that answer /healthz and /readyz.
        self.health_ports: dict[str, int] = {}

    @property
    def database_url(self) -> str:
        """The URL of the server that holds the store now, without the proxy."""
        return self.database.url

    def outbox(self, host: str) -> Path:
        return self.folder / "hosts" / host / "outbox"

    def emitter(self, name: str) -> Path:
        return self.folder / "emitters" / name

    # servers

    def start_servers(self) -> None:
        state = self.folder / "servers"
        direct, controller = (remembered_port(state, name) for name in ("kafka", "kafka controller"))
        edge, roles_proxy, edge_proxy, database, registry = (
            remembered_port(state, name) for name in ("edge", "roles proxy", "edge proxy", "db proxy", "registry proxy")
        )
        listeners = {"ROLES": roles_proxy, "EDGE": edge_proxy}
        kafka_settings = {
            "listeners": f"BROKER://{LOOPBACK}:{direct},ROLES://{LOOPBACK}:{(inner := free_port())},"
            f"EDGE://{LOOPBACK}:{edge},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"BROKER://{LOOPBACK}:{direct},"
            + ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in listeners.items()),
            "listener.security.protocol.map": "BROKER:PLAINTEXT,ROLES:PLAINTEXT,EDGE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        }
        self.kafka = LocalKafka(state, heap="384m", quick=True, settings=kafka_settings)
        self.exit_stack.callback(self.kafka.stop)
        self.kafka.launch()
        self.database = RunDatabase(state)
        self.exit_stack.callback(self.database.stop)
        self.database.start()
        self.registry = LocalRegistry(state)
        self.exit_stack.callback(self.registry.stop)
        self.registry.start()
        self.kafka.wait()
        proxied_url = self.database_url.replace(f":{self.database.port}/", f":{database}/")
        self.proxies.add("roles", roles_proxy, inner)
        self.proxies.add("edge", edge_proxy, edge)
        self.proxies.add("database", database, self.database.port)
        registry_port = int(self.registry.url.split(":")[2].partition("/")[0])
        self.proxies.add("registry", registry, registry_port)
        common = {
            "PYTHONPATH": f"{ROOTS}{os.pathsep}{ROOT}",
            "STUMBLE_DATABASE_URL": proxied_url,
            "STUMBLE_LOG_FORMAT": "json",
            "STUMBLE_KAFKA__SCHEMA_REGISTRY_URL": self.registry.url.replace(f":{registry_port}", f":{registry}"),
            "STUMBLE_SUBSCRIPTION_KEYS": KEY,
            "STUMBLE_ALERTS_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "STUMBLE_ALERTS_RULES": str(telling.RULES),
            "STUMBLE_CLOCK__SILENT_AFTER": f"{SILENT_AFTER}s",
            "STUMBLE_CLOCK__SETTLE": "3s",
            "STUMBLE_CLOCK__CHECK_INTERVAL": "1s",
        }
        self.env = common | {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:{roles_proxy}"}
        self.edge_env = common | {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:{edge_proxy}"}
        self.command("topics", "topics", "apply", "--partitions", str(PARTITIONS))
        self.command("migrate", "store", "migrate")

    def command(self, name: str, *words: str) -> None:
        """Run a command of stumble, which must succeed."""
        ChildProcess(name, self.folder).run([*STUMBLE, *words], env=self.env, timeout=120)

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of stumble; returns its result."""
        return subprocess.run(
            [*STUMBLE, *words], env={**os.environ, **self.env}, capture_output=True, text=True, check=False, timeout=300
        )

    def mount_disk(self) -> str:
        """Mount a small disk for the first host's outbox; returns its description, empty if mounting fails."""
        path = self.folder / "hosts" / self.cast.hosts[0]
        path.mkdir(parents=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(path)], capture_output=True, check=False
        )
        if done.returncode:
            return ""
        self.disk = path
        self.exit_stack.callback(subprocess.run, ["umount", "-l", str(path)], check=False)
        return f"a tmpfs of {DISK_MIB} MiB"

    # roles

    def _health_port(self, name: str) -> str:
        self.health_ports[name] = free_port()
        return str(self.health_ports[name])

    def add(self, name: str, *command: str, env: dict[str, str] | None = None, finite: bool = False) -> None:
        """Start a role."""
        process = ChildProcess(name, self.folder)
        self.roles[name] = Role(process, command, env or self.env, finite)
        self._launch(self.roles[name])

    def _launch(self, role: Role) -> None:
        role.should_run = True
        role.process.start(role.command, env=role.env)

    def start_roles(self, wrong_clocks: Mapping[str, int]) -> None:
        """Start all roles but the emitters. `wrong_clocks`: the error of a host's clock in seconds."""
        webhook_port = free_port()
        dripping = f"http://{LOOPBACK}:{webhook_port}{DRIP}"
        with connect(self.database_url) as connection:
            for number in range(DRIPPING_RECEIVERS):
                subscribe(connection, f"{dripping}/{number}", kinds=["failure", "alert"])
            for path, kind in ((telling.FAILURES, "failure"), (telling.ALERTS, "alert")):
                url = f"http://{LOOPBACK}:{webhook_port}{path}"
                self.secrets[path] = subscribe(connection, url, kinds=[kind]).secret
        module = (sys.executable, "-m")
        self.add("receiver", *module, "tests.chaos.receiving", str(webhook_port), str(self.folder / "webhooks.jsonl"))
        for name in self.cast.projectors:
            env = self.env | {"STUMBLE_STATE_DIR": str(self.folder), "STUMBLE_METRICS_PORT": self._health_port(name)}
            self.add(name, *STUMBLE, "projector", env=env)
        self.add("api", *STUMBLE, "api", "--port", self._health_port("api"))
        alerter_env = self.env | {"STUMBLE_ALERTS_ALERTMANAGERS": dripping}
        alerter_env["STUMBLE_METRICS_PORT"] = self._health_port("alerter")
        self.add("alerter", *module, "tests.chaos.alerting", "alerter", env=alerter_env)
        topics = Topics("")
        self.add(
            "reader", *module, "tests.chaos.reading", self.env["STUMBLE_KAFKA__BOOTSTRAP_SERVERS"], "downstream",
            str(self.folder / "downstream.jsonl"), topics.failures, topics.outcomes,
        )  # fmt: skip
        for host in self.cast.hosts:
            outbox = self.outbox(host)
            outbox.mkdir(parents=True, exist_ok=True)
            env = self.edge_env | {"STUMBLE_HOST": host, "STUMBLE_OUTBOX_DIR": str(outbox)}
            env["STUMBLE_RELAY_HOSTS"] = f"{host},{FLEET_HOSTS}"
            env["STUMBLE_METRICS_PORT"] = self._health_port(f"relay-{host}")
            error = wrong_clocks.get(host)
            command = STUMBLE if error is None else (*module, "tests.support.wrong_clock", str(error))
            self.add(f"relay-{host}", *command, "relay", "--status-interval", "2", env=env)
        self._start_attackers(self.cast.attacked)

    def _start_attackers(self, host: str) -> None:
        outbox = self.outbox(host)
        attackers = ["service"]
        if os.geteuid() == 0:
            attackers.append("user")
            self.exit_stack.callback(hostile.remove_folders_of_local_user, outbox)
        else:
            self.print_line("no hostile local user: only root can run a process as another user")
        for attacker in attackers:
            command = (sys.executable, "-m", "tests.chaos.hostile", attacker, str(outbox), host)
            self.add(f"hostile-{attacker}", *command)

    def start_emitters(self, plans: dict[str, Plan], transactional: Plan, wrong_clocks: Mapping[str, int]) -> None:
        """Start the emitters and the transactional producer. `wrong_clocks`: the error of a host's clock in seconds."""
        self.started_at = time.monotonic()
        if not FAKETIME.exists():
            self.print_line("the outboxes have right clocks, only their events have wrong times: "
                            "libfaketime is not installed; install it: sudo apt-get install libfaketime")  # fmt: skip
            wrong_clocks = {}
        for name, plan in plans.items():
            folder = self.emitter(name)
            folder.mkdir(parents=True)
            plan.save(folder / PLAN)
            host = host_of(name)
            env = dict(self.env)
            if error := wrong_clocks.get(host):
                env |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{error:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            self.add(
                name, sys.executable, "-m", "tests.chaos.emitting", str(folder), str(self.outbox(host)), host,
                str(self.started_at), env=env, finite=True,
            )  # fmt: skip

        folder = self.emitter(TRANSACTIONS)
        folder.mkdir(parents=True)
        transactional.save(folder / PLAN)
        self.add(
            TRANSACTIONS, sys.executable, "-m", "tests.chaos.transacting", str(folder),
            self.env["STUMBLE_KAFKA__BOOTSTRAP_SERVERS"], str(self.started_at), finite=True,
        )  # fmt: skip

    def kill(self, name: str) -> bool:
        """Kill a role with -9; False if it does not run."""
        role = self.roles[name]
        if role.done or role.process.pid is None:
            return False
        role.should_run = False
        role.process.stop(signal.SIGKILL)
        return True

    def kill_permanently(self, name: str) -> None:
        """Kill a role permanently."""
        self.kill(name)
        self.roles[name].done = True

    def restart(self, name: str) -> None:
        """Start a role that was killed; a running role is not changed."""
        role = self.roles[name]
        if role.process.pid is None and not role.done:
            self._launch(role)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal; False if the role does not run."""
        pid = self.roles[name].process.pid
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def works(self, server: str) -> bool:
        """Return whether the broker or the database runs and is not stopped."""
        return server not in self._suspended and self._process(server).pid is not None

    def suspend_server(self, name: str) -> bool:
        """Stop all processes of a server with SIGSTOP; False if it does not run, or is stopped already.

        A fault that comes late, because the one before it took long, would else be ended by the end of another.
        """
        pid = self._process(name).pid
        if pid is None or name in self._suspended:
            return False
        self._suspended[name] = with_children(pid)
        signal_all(self._suspended[name], signal.SIGSTOP)
        return True

    def resume_server(self, name: str) -> None:
        """Continue a server that was stopped with SIGSTOP."""
        signal_all(self._suspended.pop(name, []), signal.SIGCONT)

    def kill_server(self, name: str) -> None:
        # A suspended child of a killed postmaster would hold the shared memory for ever.
        self.resume_server(name)
        self._process(name).stop(signal.SIGKILL)

    def start_server(self, name: str) -> None:
        """Start a server that was killed, without waiting for the broker; one that runs is not changed."""
        if self._process(name).pid is not None:
            return
        if name == "broker":
            self.kafka.stop()  # only registers that it has ended
            self.kafka.launch()
        else:
            self.database.server.stop()
            self.database.server.start()

    def _process(self, server: str) -> ChildProcess:
        return self.kafka.process if server == "broker" else self.database.server.process

    def restore_database(self, backup: Copy) -> None:
        """Restore a backup into a new server, in the steps of docs/operations.md."""
        users = [*self.cast.projectors, "alerter", "api"]
        for name in users:
            self.kill(name)
        self._replace_database(backup)
        env = self.env | {"STUMBLE_DATABASE_URL": self.database_url}
        ChildProcess("migrate-restored", self.folder).run([*STUMBLE, "store", "migrate", "--restored"], env=env)
        for name in users:
            self.restart(name)

    def fail_over(self, standby: Copy) -> None:
        """End the database; a standby takes over while all roles run."""
        self._replace_database(standby)

    def _replace_database(self, copy: Copy) -> None:
        self.database.replace_by(copy)
        self.proxies.by_name["database"].forward_to(self.database.port)

    def restart_ended(self) -> None:
        """Restart roles that ended by themselves, and record that they did."""
        for name, role in self.roles.items():
            status = role.process.exit_status
            if status is None or not role.should_run or role.done:
                continue
            if role.finite and status == 0:
                role.done = True
                continue
            role.ended.append(f"{name} ended with {status}: {last_log_line(role.process.log)}")
            self.print_line(role.ended[-1])
            self._launch(role)

    def emitters_done(self) -> bool:
        return all(role.done for role in self.roles.values() if role.finite)

    def close(self) -> None:
        """Stop everything."""
        for server in list(self._suspended):
            self.resume_server(server)
        for role in self.roles.values():
            role.should_run = False
            if (pid := role.process.pid) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            role.process.ask_to_stop()
        for role in self.roles.values():
            role.process.stop(timeout=15)
        self.exit_stack.close()
