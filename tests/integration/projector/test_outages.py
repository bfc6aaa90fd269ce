"""Health as a probe sees it from outside, second by second, while the services that stumble needs are away."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient

from stumble.local.kafka import LocalKafka
from stumble.local.ports import free_port
from stumble.local.postgres import LocalPostgres
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from stumble.testing.events import event, failure, framed
from stumble.wire.codec import frame_confluent
from stumble.wire.schemas import EVENT
from tests.support.command import stumble
from tests.support.projection import ProjectorTestbed, eventually
from tests.support.serving import serving

#: The product promises 10 s where a service is gone and 30 s where it is silent; the machine may be loaded.
GONE_SECONDS, SILENT_SECONDS = 20.0, 45.0
_SINGLE_OBJECT_HEADER = 10
#: Inserts the first publication again, as its next revision.
PUBLISH_AGAIN = """insert into publications (kind, subject_id, request_key, instance_uuid, revision, correction, status,
 payload, kafka_partition, incarnation)
 select kind, subject_id, request_key, instance_uuid, revision + 1, true, status, payload, kafka_partition, incarnation
 from publications order by id limit 1"""


@dataclass
class Probe:
    """Asks a role for its health every second, in a thread."""

    name: str
    base: str
    answers: list[tuple[float, bool, bool, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.wait(1):
            asked_at = time.monotonic()
            ready, text = self.ask("/readyz")
            live, _ = self.ask("/healthz")
            self.answers.append((asked_at, ready, live, text))

    def ask(self, path: str) -> tuple[bool, str]:
        try:
            answer = httpx.get(self.base + path, timeout=15)
        except httpx.HTTPError as error:
            return False, str(error)
        return answer.status_code == 200, answer.text

    def since(self, at: float) -> list[tuple[float, bool, bool, str]]:
        return [answer for answer in self.answers if answer[0] >= at]

    def wait_for(self, *, ready: bool, seconds: float, after: float = 0.0) -> str:
        """Wait for a readiness; return the text of the first answer that has it. Fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            for answer in self.since(after):
                if answer[1] is ready:
                    return answer[3]
            assert time.monotonic() < deadline, (self.name, ready, self.answers[-3:])
            time.sleep(0.2)


@dataclass
class Registry:
    """A schema registry that does not answer until `start`."""

    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"schema": EVENT.json}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        with serving(ThreadingHTTPServer(("127.0.0.1", self.port), Handler)):
            yield


class Roles:
    """A projector, an alerter and an API on a broker and a database of their own, with a probe for each."""

    def __init__(self, folder: Path) -> None:
        self.kafka = LocalKafka(folder / "kafka", heap="256m", quick=True)
        self.postgres = LocalPostgres(folder / "postgres", fsync=False)
        self.registry = Registry()
        self.probes: dict[str, Probe] = {}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        url = self.postgres.start().rpartition("/")[0] + "/stumble"
        self.postgres.create_database("stumble")
        migrate(url)
        self.testbed = ProjectorTestbed(self.kafka.start(), url)
        for role, option in (("projector", "--metrics-port"), ("alerter", "--metrics-port"), ("api", "--port")):
            port = free_port()
            extra = {"STUMBLE_KAFKA__SCHEMA_REGISTRY_URL": self.registry.url} if role == "projector" else {}
            self.testbed.start(role, option, str(port), **extra)
            self.probes[role] = Probe(role, f"http://127.0.0.1:{port}")
        for probe in self.probes.values():
            self._threads.append(threading.Thread(target=probe.run, daemon=True))
            self._threads[-1].start()
        self.wait_until_ready()

    def stop(self) -> None:
        for probe in self.probes.values():
            probe.ended.set()
        for thread in self._threads:
            thread.join(40)
        if hasattr(self, "testbed"):
            self.testbed.stop()
        self.kafka.stop()
        self.postgres.stop()

    def wait_until_ready(self) -> float:
        """Wait until every role is ready; return when."""
        at = time.monotonic()
        for probe in self.probes.values():
            probe.wait_for(ready=True, seconds=90, after=at)
        return time.monotonic()

    def require_steady(self, since: float, *names: str) -> None:
        """Fail if one of the roles was not ready or not live for a moment."""
        for name in names or self.probes:
            assert [answer for answer in self.probes[name].since(since) if not (answer[1] and answer[2])] == []

    def require_live(self, since: float) -> None:
        """Fail if one of the processes would have been restarted."""
        for probe in self.probes.values():
            assert [answer for answer in probe.since(since) if not answer[2]] == [], probe.name

    def send(self, value: bytes, partition: int) -> None:
        self.testbed.send(value, b"key", partition=partition)
        self.testbed.flush()

    def stored(self) -> int:
        with connect(self.testbed.url) as session:
            row = session.execute("select count(*) from events").fetchone()
        return row[0] if row else 0


@pytest.fixture(scope="module")
def roles(tmp_path_factory) -> Iterator[Roles]:
    roles_of_module = Roles(tmp_path_factory.mktemp("outages"))
    try:
        roles_of_module.start()
        yield roles_of_module
    finally:
        roles_of_module.stop()


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Suspend a process and its children: their sockets stay open and nobody answers."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in children_of(task)]
    for process in (pid, *children):
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in (*children, pid):
            os.kill(process, signal.SIGCONT)


def children_of(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def outage(roles: Roles, names: tuple[str, ...], begun_at: float, seconds: float) -> None:
    """Wait until the roles are not ready; fail if that takes longer than `seconds`, or one is not live."""
    for name in names:
        probe = roles.probes[name]
        probe.wait_for(ready=False, seconds=seconds + begun_at - time.monotonic(), after=begun_at)
    time.sleep(5)  # it stays so
    for name in names:
        assert not roles.probes[name].answers[-1][1], name
    roles.require_live(begun_at)


def test_health_is_steady_while_everything_works(roles):
    at = roles.wait_until_ready()
    for number in range(10):
        roles.send(framed(event(request_id=f"req-{number}")), number % 4)
        time.sleep(1)
    roles.require_steady(at)


def test_kafka_that_is_stopped(roles):
    roles.wait_until_ready()
    at = time.monotonic()
    roles.kafka.process.stop(signal.SIGKILL)
    outage(roles, ("projector", "alerter"), at, GONE_SECONDS)
    metrics = httpx.get(roles.probes["projector"].base + "/metrics", timeout=15).text
    assert 'stumble_projector_dependency_up{dependency="kafka"} 0.0' in metrics
    assert "stumble_projector_lag_seconds{" not in metrics
    assert "stumble_projector_backlog_records{" not in metrics
    api = json.loads(roles.probes["api"].ask("/readyz")[1])
    assert (api["status"], {one["state"] for one in api["partitions"]}) == ("stale", {"KAFKA_UNAVAILABLE"})
    roles.kafka.start()
    roles.wait_until_ready()
    roles.require_live(at)


def test_kafka_that_stops_while_publications_are_sent(roles):
    roles.send(framed(event(request_id="req-published", failure=failure())), 0)
    with connect(roles.testbed.url) as session:
        eventually(lambda: session.execute("select 1 from publications limit 1").fetchone() is None)
        roles.wait_until_ready()
        at = time.monotonic()
        os.kill(roles.kafka.process.pid, signal.SIGSTOP)
        session.execute(PUBLISH_AGAIN)
    time.sleep(1)  # the alerter waits for the answer to what it sends
    roles.kafka.process.stop(signal.SIGKILL)
    outage(roles, ("alerter",), at, 18)  # after 20 s any call of the alerter counts as waiting for a silent service
    roles.kafka.start()
    roles.wait_until_ready()
    roles.require_live(at)


def test_kafka_that_is_silent(roles):
    roles.wait_until_ready()
    at = time.monotonic()
    with suspended(roles.kafka.process.pid):
        outage(roles, ("projector", "alerter"), at, SILENT_SECONDS)
    roles.wait_until_ready()
    roles.require_live(at)


def test_store_that_is_stopped(roles):
    roles.wait_until_ready()
    at = time.monotonic()
    roles.postgres.stop()
    outage(roles, ("projector", "alerter", "api"), at, GONE_SECONDS)
    roles.postgres.start()
    roles.wait_until_ready()
    roles.require_live(at)


def test_store_that_is_silent(roles):
    roles.wait_until_ready()
    at = time.monotonic()
    with suspended(roles.postgres.process.pid):
        outage(roles, ("projector", "alerter", "api"), at, SILENT_SECONDS)
    roles.wait_until_ready()
    roles.require_live(at)


def test_commits_that_wait_for_a_standby_are_named(roles):
    roles.wait_until_ready()
    at = time.monotonic()
    with connect(roles.testbed.url) as session:
        session.execute("alter system set synchronous_standby_names = 'elsewhere'")
        session.execute("select pg_reload_conf()")
    try:
        roles.send(framed(event(request_id="req-standby")), 0)
        outage(roles, ("projector",), at, SILENT_SECONDS)
        assert "commits wait for a synchronous standby" in roles.probes["projector"].answers[-1][3]
        result = stumble("check", "database", "--json", **roles.testbed.environment())
        assert (result.returncode, "wait for a synchronous standby" in result.stdout) == (1, True)
    finally:
        with connect(roles.testbed.url) as session:
            session.execute("alter system reset synchronous_standby_names")
            session.execute("select pg_reload_conf()")
    roles.wait_until_ready()
    roles.require_live(at)


def test_dead_letter_topic_that_is_missing_blocks_one_partition(roles):
    roles.wait_until_ready()
    dead_letters = roles.testbed.settings.topics.dlq
    client = AdminClient({"bootstrap.servers": roles.testbed.kafka})
    client.delete_topics([dead_letters])[dead_letters].result(30)
    at = time.monotonic()
    roles.send(b"no event at all", 0)
    outage(roles, ("projector",), at, SILENT_SECONDS)
    blocked_at = time.monotonic()
    before = roles.stored()
    for number in range(10):
        roles.send(framed(event(request_id=f"req-dlq-{number}")), 1 + number % 3)
        time.sleep(1)
    eventually(lambda: "" if roles.stored() == before + 10 else "other partitions wait", 20)
    answers = roles.probes["projector"].since(blocked_at)
    assert [answer for answer in answers if answer[1]] == [], "retries are no success"
    shown = json.loads(stumble("offsets", "show", "--format", "json", **roles.testbed.environment()).stdout)
    assert [(one["state"], one["stopped"]) for one in shown if one["partition"] == 0] == [("BAD_RECORDS", True)]
    assert stumble("check", "offsets", **roles.testbed.environment()).returncode == 1
    roles.testbed.make_topics()
    roles.wait_until_ready()
    roles.require_live(at)


def test_registry_that_is_away_blocks_only_the_partition_that_needs_it(roles):
    roles.wait_until_ready()
    at = time.monotonic()
    value = framed(event(request_id="req-registry"))[_SINGLE_OBJECT_HEADER:]
    roles.send(frame_confluent(7, value), 0)
    outage(roles, ("projector",), at, GONE_SECONDS)
    before = roles.stored()
    for number in range(5):
        roles.send(framed(event(request_id=f"req-other-{number}")), 1 + number % 3)
    eventually(lambda: "" if roles.stored() == before + 5 else "other partitions wait", 20)
    with roles.registry.running():
        roles.wait_until_ready()
        assert roles.stored() == before + 6
    roles.require_live(at)
