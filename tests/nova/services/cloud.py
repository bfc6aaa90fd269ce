"""A cloud of separate processes on loopback: RabbitMQ, Placement, nova-api, conductor, scheduler, two computes.

Everything is Nova's own and started as in production, except the parts that :mod:`novaservices` replaces: Keystone,
Neutron, Cinder and Glance are Nova's functional fixtures in each process, and the hypervisor is its fake one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stumble.local.errors import LocalError
from stumble.local.ports import LOOPBACK, free_port
from stumble.local.process import ChildProcess, read_log_tail
from tests.support.rabbitmq import LocalRabbit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE = Path(__file__).resolve().parent
HOSTS = ("host1", "host2")
MEMBER, ADMIN = "alice:blue:member,reader", "root:admins:admin,member,reader"
_POLL = 0.05
_GREEN_THREADS = ("nova-conductor", "host1")

_CONF = """[DEFAULT]
host = controller
transport_url = {bus}
compute_driver = fake.ControlledDriver
my_ip = 127.0.0.1
state_path = {state}
rpc_response_timeout = 30
report_interval = 1
vif_plugging_timeout = 0
long_rpc_timeout = 60
instances_path = {state}/instances

[database]
connection = {cell1}
max_pool_size = 4

[api_database]
connection = {api}
max_pool_size = 4

[placement]
auth_type = admin_token
token = admin
endpoint = {placement_url}

[glance]
api_servers = http://127.0.0.1:1

[quota]
instances = -1
cores = -1
ram = -1

[conductor]
workers = 1

[scheduler]
workers = 1

[oslo_concurrency]
lock_path = {state}/locks

[oslo_policy]
policy_file = {state}/no-policy.yaml

[oslo_messaging_notifications]
driver = stumble

[stumble]
outbox_dir = {outbox}
"""
_HOST = "[DEFAULT]\nhost = {host}\nstate_path = {state}\n\n[oslo_concurrency]\nlock_path = {state}/locks\n"
_PERIODIC = {"host1": "\n[DEFAULT]\nshelved_offload_time = 1\nshelved_poll_interval = 1\n"}
"""On this host a periodic task offloads shelved servers; on the other host the request does."""
_PLACEMENT = "[api]\nauth_strategy = noauth2\n\n[placement_database]\nconnection = {database}\nsync_on_startup = true\n"


class Answer:
    """An answer of the API."""

    def __init__(self, status: int, headers: Mapping[str, str], body: Any) -> None:
        self.status = status
        self.body = body
        self.request_id = headers.get("x-compute-request-id") or headers.get("x-openstack-request-id") or ""


class Services:
    """The cloud. A context manager; it makes its files in `state`, and its databases with `new_database`."""

    def __init__(
        self,
        state: Path,
        python: Path,
        new_database: Callable[[], str],
        outbox: Path,
        *,
        workers: int = 1,
        max_requests: int = 0,
    ) -> None:
        """`python` is Nova's environment's; each of the API's `workers` handles `max_requests` (0: no limit)."""
        self.state = state
        self.outbox = outbox
        self.python = python
        self.package = state / "site" / "stumble"
        """The services' own copy of stumble, which a test may replace."""
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self._placement = f"http://{LOOPBACK}:{free_port()}"
        self._new_database = new_database
        self._uwsgi = (
            "--processes",
            str(workers),
            "--worker-reload-mercy",
            "3",
            *(("--max-requests", str(max_requests)) if max_requests else ()),
        )
        self.bus = LocalRabbit(state / "rabbit")
        self.children: dict[str, ChildProcess] = {}

    # Processes.

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        for child in reversed(self.children.values()):
            if child.pid is not None:  # with its workers, which otherwise wait for their last request
                os.killpg(child.pid, signal.SIGKILL)
            child.stop()
        self.bus.stop()

    def _start(self) -> None:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        installed = self.python.parents[1] / "lib" / version / "site-packages" / "stumble"
        shutil.copytree(installed, self.package)
        for folder in ("images", "locks", "rabbit", "conf", *HOSTS):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        bus = self.bus.start()
        cell0 = self._configure(bus)
        self._serve_wsgi("placement", self._placement, "placement.wsgi.api:application")
        ChildProcess("prepare", self.state).run(
            [self.python, "-m", "novaservices.prepare", cell0, *HOSTS, "--", *self._options()],
            env=self.environment("prepare"),
            timeout=180,
        )
        self._serve_wsgi("nova-api", self.url, "novaservices.api:application", *self._uwsgi)
        for name in ("nova-conductor", "nova-scheduler", *HOSTS):
            self.start(name)
        self.wait_up(*HOSTS)

    def _configure(self, bus: str) -> str:
        databases = {name: dialect(self._new_database()) for name in ("api", "cell0", "cell1", "placement")}
        conf = self.state / "conf"
        (conf / "nova.conf").write_text(
            _CONF.format(
                bus=bus,
                state=self.state,
                placement_url=self._placement,
                outbox=self.outbox,
                **databases,
            )
        )
        paste = (self.python.parents[1] / "etc" / "nova" / "api-paste.ini").read_text()
        before = "keystonemiddleware.auth_token:filter_factory"
        (conf / "api-paste.ini").write_text(paste.replace(before, "novaservices.auth:filter_factory"))
        (conf / "placement.conf").write_text(_PLACEMENT.format(database=databases["placement"]))
        for host in HOSTS:
            (self.state / host / "compute_id").write_text(str(uuid.uuid5(uuid.NAMESPACE_DNS, host)))
            (conf / f"{host}.conf").write_text(
                _HOST.format(host=host, state=self.state / host) + _PERIODIC.get(host, "")
            )
        return databases["cell0"]

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of one process."""
        return {
            "PYTHONPATH": f"{self.package.parent}:{HERE}:{HERE.parent}",
            "PYTHONWARNINGS": "ignore",
            "OS_NOVA_CONFIG_DIR": str(self.state / "conf"),
            "OS_PLACEMENT_CONFIG_DIR": str(self.state / "conf"),
            "STUMBLE_TEST_IMAGES": str(self.state / "images"),
            "STUMBLE_TEST_CONTROL": str(self.state / name if name in HOSTS else self.state),
            # Green threads where the release has them by default; one compute with native threads.
            "OS_NOVA_DISABLE_EVENTLET_PATCHING": "false" if name in _GREEN_THREADS else "true",
            "STUMBLE_TEST_THREADS": str(self.state / "threads"),
        }

    def _options(self, *hosts: str) -> list[str]:
        conf = self.state / "conf"
        return [option for name in ("nova", *hosts) for option in ("--config-file", str(conf / f"{name}.conf"))]

    def _serve_wsgi(self, name: str, url: str, module: str, *options: str) -> None:
        child = self.children.setdefault(name, ChildProcess(name, self.state))
        uwsgi = self.python.with_name("uwsgi")
        command: list[str | Path] = [uwsgi, "--http-socket", url.removeprefix("http://"), "--module", module]
        flags = ("master", "die-on-term", "need-app", "enable-threads", "no-orphans", "disable-logging")
        command += [f"--{flag}" for flag in flags]
        command += [
            "--add-header",
            "Connection: close",
            "--buffer-size",
            "65535",
            "--home",
            str(self.python.parents[1]),
            *options,
        ]
        child.start(command, env=self.environment(name))

    def api_workers(self) -> list[int]:
        """Return the pids of the API's worker processes."""
        master = self.children["nova-api"].pid
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    def start(self, name: str) -> None:
        """Start a service (again); ``host1`` and ``host2`` are the computes."""
        child = self.children.setdefault(name, ChildProcess(name, self.state))
        binary, hosts = ("nova-compute", (name,)) if name in HOSTS else (name, ())
        command: list[str | Path] = [self.python, "-m", "novaservices.serve", binary, *self._options(*hosts)]
        child.start(command, env=self.environment(name))

    def kill(self, name: str) -> None:
        """Kill a service with -9."""
        self.children[name].stop(signal.SIGKILL)

    def restart(self, name: str) -> None:
        """Start a compute again, and wait until it accepts requests."""
        started = time.time()
        self.start(name)
        self.wait_up(name, since=started)

    def wait_up(self, *hosts: str, since: float = 0.0, timeout: float = 180) -> None:
        """Wait until these computes have reported since `since`."""

        def up() -> bool:
            body = self.get("/os-services?binary=nova-compute").body
            updated_at = {one["host"]: one["updated_at"] for one in body["services"] if one["state"] == "up"}
            return all(_epoch(updated_at.get(host)) > since for host in hosts)

        self.wait_for(up, f"{', '.join(hosts)} to come up", timeout)

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = 180) -> Any:
        """Return the value of `condition` as soon as it's true; AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            for child in self.children.values():
                if child.exit_status not in (None, -9):
                    child.require_running()
            with contextlib.suppress(OSError, TypeError):
                value = condition()
                if value:
                    return value
            if time.monotonic() > deadline:
                logs = {name: read_log_tail(child.log, 8) for name, child in self.children.items()}
                raise AssertionError(f"waited {timeout:.0f} s for {what}\n" + json.dumps(logs, indent=1))
            time.sleep(_POLL)

    # Control of the hypervisors.

    def set_control(self, host: str, function: str, instruction: str = "block") -> None:
        """Let a function on a host block from its next call on, or do what the instruction says."""
        (self.state / host / f"{function}.reached").unlink(missing_ok=True)
        (self.state / host / function).write_text(instruction)

    def set_failure(self, host: str, function: str, exception: str, *arguments: Any, **keywords: Any) -> None:
        """Let a function on a host raise an exception, a class by its dotted path, from its next call on."""
        failure = {"class": exception, "arguments": arguments, "keywords": keywords}
        self.set_control(host, function, json.dumps(failure))

    def clear_control(self, host: str, function: str) -> None:
        """Remove the control file of a function."""
        (self.state / host / function).unlink(missing_ok=True)

    def wait_reached(self, host: str, function: str) -> None:
        """Wait until a controlled function was called."""
        self.wait_for((self.state / host / f"{function}.reached").exists, f"{function} on {host}")

    @contextlib.contextmanager
    def blocked(self, host: str, function: str) -> Iterator[None]:
        """Let a function block inside the block."""
        self.set_control(host, function)
        try:
            yield
        finally:
            self.clear_control(host, function)

    # Requests of users.

    def call(self, method: str, path: str, body: Any = None, *, token: str = ADMIN) -> Answer:
        """Send a request to nova-api; an error is an answer too."""
        data = None if body is None else json.dumps(body).encode()
        request_headers = {
            "X-Auth-Token": token,
            "Content-Type": "application/json",
            "OpenStack-API-Version": "compute latest",
        }
        request = urllib.request.Request(f"{self.url}/v2.1{path}", data, request_headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                status, headers, text = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, text = error.code, error.headers, error.read()
        return Answer(status, headers, json.loads(text) if text else None)

    def get(self, path: str) -> Answer:
        """Get a path from nova-api; raises OSError unless the answer is 200."""
        answer = self.call("GET", path)
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status} {answer.body}")
        return answer

    def create(self, host: str | None = None, *, token: str = ADMIN, name: str = "a server") -> tuple[str, Answer]:
        """Create a server, optionally on a given host."""
        server = {"name": name, "imageRef": "155d900f-4e14-4e4c-a73d-069cbf4541e6", "flavorRef": "1"}
        server["networks"] = "none"
        if host:
            server["availability_zone"] = f"nova:{host}"
        answer = self.call("POST", "/servers", {"server": server}, token=token)
        if answer.status != 202:
            raise LocalError(f"the server was not created: {answer.status} {answer.body}")
        return answer.body["server"]["id"], answer

    def act(self, server: str, action: Mapping[str, Any], *, token: str = ADMIN) -> Answer:
        """Request a server action."""
        answer = self.call("POST", f"/servers/{server}/action", action, token=token)
        if answer.status not in (200, 202, 204):
            raise LocalError(f"{action}: {answer.status} {answer.body}")
        return answer

    def server(self, server: str) -> dict[str, Any] | None:
        """Return the server as the API shows it, None if it does not exist."""
        answer = self.call("GET", f"/servers/{server}")
        return None if answer.status == 404 else answer.body["server"]

    def wait_state(self, server: str, *states: str, timeout: float = 180) -> dict[str, Any]:
        """Wait until a server has one of these vm_states and no task state."""

        def reached() -> Any:
            shown = self.server(server)
            idle = shown and shown["OS-EXT-STS:task_state"] is None and shown["OS-EXT-STS:vm_state"] in states
            return shown if idle else None

        shown: dict[str, Any] = self.wait_for(reached, f"{server} in {states}", timeout)
        return shown


def dialect(url: str) -> str:
    """Return a PostgreSQL URL with SQLAlchemy's driver name."""
    return "postgresql+psycopg2://" + url.partition("://")[2]


def _epoch(text: str | None) -> float:
    return 0.0 if not text else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
