"""The local stack: its servers are real, keep their data over kill -9, and leave no processes behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stumble.local import ports
from stumble.local.errors import LocalError
from stumble.local.kafka import LocalKafka
from stumble.local.postgres import LocalPostgres
from stumble.local.process import ChildProcess, start_time
from tests.support.command import running
from tests.support.messages import value_of
from tests.support.port_in_use import port_in_use
from tests.support.services import cli_environment

if TYPE_CHECKING:
    from collections.abc import Callable

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def produce(bootstrap: str, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for number in range(count):
        producer.produce(topic, value=b"%d" % number)
    assert producer.flush(60) == 0


def consume(bootstrap: str, topic: str, count: int) -> set[bytes]:
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": f"{topic}-reader",
        "auto.offset.reset": "earliest",
        "log_level": 0,
    }
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    values: set[bytes] = set()
    deadline = time.monotonic() + 90
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            values.add(value_of(message))
    consumer.close()
    return values


def test_kafka_of_the_run_is_a_real_broker(kafka: str, new_topic: Callable[..., str]) -> None:
    topic = new_topic(partitions=2)
    produce(kafka, topic, 10)
    assert len(consume(kafka, topic, 10)) == 10


def test_database_is_new_and_can_be_copied(database_url: str, new_database: Callable[..., str]) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")
    template = database_url.rpartition("/")[2]
    with psycopg.connect(new_database(template=template)) as connection:
        assert connection.execute("SELECT x FROM t").fetchone() == (1,)


def test_wrong_password_is_rejected(database_url: str) -> None:
    before, _, rest = database_url.partition("postgres:")
    _, _, address = rest.partition("@")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"{before}postgres:wrong@{address}")


def test_postgres_keeps_committed_data_after_kill_9(own_postgres: LocalPostgres, tmp_path: Path) -> None:
    url = own_postgres.create_database("kept")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS x")
    assert own_postgres.process.pid
    os.kill(own_postgres.process.pid, signal.SIGKILL)
    own_postgres.process.stop()
    restarted = LocalPostgres(tmp_path / "postgres")
    try:
        restarted.start()
        assert restarted.url("kept") == url  # same port and password
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT x FROM t").fetchone() == (42,)
    finally:
        restarted.stop()


def test_postgres_starts_once_the_sessions_of_a_killed_server_have_ended(own_postgres: LocalPostgres) -> None:
    with psycopg.connect(own_postgres.url()) as connection:
        session = connection.info.backend_pid
        os.kill(session, signal.SIGSTOP)  # a session that cannot end yet, as on a busy machine
        timer = threading.Timer(2, os.kill, (session, signal.SIGCONT))
        timer.start()
        try:
            assert own_postgres.process.pid
            os.kill(own_postgres.process.pid, signal.SIGKILL)
            own_postgres.process.stop()
            own_postgres.start()
        finally:
            timer.join()
    with psycopg.connect(own_postgres.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@needs_root
def test_command_of_another_user_can_run_programs_below_a_folder_of_root(tmp_path: Path) -> None:
    """initdb searches `postgres` with access(2), which ignores capabilities unless the guard raises them."""
    program = tmp_path / "only-root" / "program"
    program.parent.mkdir(mode=0o700)
    program.write_text("")
    program.chmod(0o755)
    script = f"import os, sys; sys.exit(os.geteuid() == 0 or not os.access({str(program)!r}, os.X_OK))"
    ChildProcess("look", tmp_path).run([sys.executable, "-c", script], user="nobody")


@needs_root
@pytest.mark.parametrize("missing", ["dac_override", "setpcap"])
def test_postgres_without_access_to_its_folder_is_refused_in_one_sentence(tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "only-root"
    folder.mkdir(mode=0o700)
    start = (
        "import sys; from pathlib import Path; from stumble.local.postgres import LocalPostgres\n"
        "try: LocalPostgres(Path(sys.argv[1])).start()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set", f"-{missing}", sys.executable, "-c", start, folder / "state"],
        env=cli_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("LocalError PostgreSQL refuses to run as root, and as the user nobody it cannot ")
    assert f"{folder / 'state'}; work as another user than root" in done.stdout
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert not (folder / "state" / "logs").exists()


@needs_root
def test_postgres_starts_with_the_capabilities_that_docker_gives_root(tmp_path: Path) -> None:
    folder = tmp_path / "only-root"
    folder.mkdir(mode=0o700)
    start = (
        "import sys; from pathlib import Path; from stumble.local.postgres import LocalPostgres\n"
        "server = LocalPostgres(Path(sys.argv[1])); server.start(); server.stop(); print('started')"
    )
    docker = (
        "chown", "dac_override", "fsetid", "fowner", "mknod", "net_raw", "setgid", "setuid", "setfcap", "setpcap",
        "net_bind_service", "sys_chroot", "kill", "audit_write",
    )  # fmt: skip
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-all," + ",".join(f"+{name}" for name in docker),
         sys.executable, "-c", start, folder / "state"],
        env=cli_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_kafka_keeps_acknowledged_records_after_a_kill(tmp_path: Path, signal_number: signal.Signals) -> None:
    server = LocalKafka(tmp_path, heap="256m", quick=True)
    try:
        bootstrap = server.start()
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        admin.create_topics([NewTopic("t", 1)])["t"].result(60)
        produce(bootstrap, "t", 5)
        server.process.stop(signal_number)
        assert server.start() == bootstrap
        assert len(consume(bootstrap, "t", 5)) == 5
    finally:
        server.stop()


def test_kafka_keeps_its_data_in_its_folder_for_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka reads server.properties as ISO 8859-1, and Java names files in the locale's encoding."""
    monkeypatch.setenv("LC_ALL", "C")
    state = tmp_path / "my é 雲 \\ stack"
    server = LocalKafka(state, heap="256m", quick=True)
    try:
        server.start()
    finally:
        server.stop()
    assert (state / "kafka" / "meta.properties").exists()
    assert [path.name for path in tmp_path.iterdir()] == [state.name]


def test_no_other_user_reads_topics_and_logs(own_kafka: LocalKafka, tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    assert [(folder / name).stat().st_mode & 0o777 for name in ("kafka", "logs")] == [0o700, 0o700]
    assert own_kafka.process.log.parent == folder / "logs"


def test_kafka_loads_native_libraries_from_its_own_folder(own_kafka: LocalKafka, tmp_path: Path) -> None:
    """/tmp may be mounted noexec, and a broker that is killed must not fill it."""
    producer = Producer({"bootstrap.servers": own_kafka.bootstrap_servers, "compression.type": "zstd", "log_level": 0})
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic("compressed", 1)])["compressed"].result(60)
    producer.produce("compressed", value=b"x" * 10_000)
    assert producer.flush(60) == 0
    maps = Path(f"/proc/{own_kafka.process.pid}/maps").read_text().splitlines()
    loaded = {line.split()[5] for line in maps if "libzstd-jni" in line}
    assert loaded
    assert all(path.startswith(f"{tmp_path}/kafka/kafka-tmp/") for path in loaded)


_PARENT = """
import sys, time
from pathlib import Path
from stumble.local.kafka import LocalKafka
from stumble.local.postgres import LocalPostgres
state = Path(sys.argv[1])
servers = [LocalKafka(state, heap="256m", quick=True), LocalPostgres(state)]
for server in servers:
    server.start()
print(*(server.process.pid for server in servers), flush=True)
time.sleep(600)
"""


def test_servers_end_with_a_killed_parent(tmp_path: Path) -> None:
    with running([sys.executable, "-c", _PARENT, tmp_path], env=cli_environment(), stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(start_time(pid) for pid in pids)
        parent.kill()
    deadline = time.monotonic() + 90
    while any(start_time(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [start_time(pid) for pid in pids] == [None, None]


def test_leftover_process_is_ended_and_a_reused_pid_is_not(tmp_path: Path) -> None:
    first = ChildProcess("sleeper", tmp_path)
    first.start(["/bin/sleep", "600"])
    pid = first.pid
    assert pid
    second = ChildProcess("sleeper", tmp_path)
    second.start(["/bin/sleep", "600"])
    try:
        assert first.exit_status == -signal.SIGKILL
        (tmp_path / "sleeper.pid").write_text(f"{second.pid} 1\n")  # a reused pid has another start time
        ChildProcess("sleeper", tmp_path).end_leftover()
        assert second.pid is not None
    finally:
        second.stop()


def test_ended_child_is_reported_with_its_log(tmp_path: Path) -> None:
    child = ChildProcess("loud", tmp_path)
    child.start(["/bin/sh", "-c", "echo no room for this >&2; exit 3"])
    while child.exit_status is None:
        time.sleep(0.01)
    with pytest.raises(LocalError, match=r"(?s)loud ended with status 3.*no room for this"):
        child.require_running()


_RESERVE = """
import sys, time
from pathlib import Path
from stumble.local import ports
print(ports.remembered_port(Path(sys.argv[1]), "api", wanted=int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


def test_two_stacks_that_start_together_choose_different_ports(tmp_path: Path) -> None:
    """It takes seconds until the server of the first stack listens on the chosen port."""
    preferred = ports.free_port()

    def choose(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _RESERVE, str(tmp_path / name), str(preferred)]
        return subprocess.Popen(
            command, env=cli_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with choose("first") as first:
        assert first.stdout
        assert int(first.stdout.readline()) == preferred
        with choose("second") as second:
            assert second.stdout
            assert int(second.stdout.readline()) != preferred
            second.communicate()
        first.communicate()
    with choose("third") as third:
        assert third.stdout
        assert int(third.stdout.readline()) == preferred, "a reservation ends with its process"
        third.communicate()


def test_row_that_uses_a_port_does_not_take_it_from_a_run_of_another_row() -> None:
    """Rows of `make newcomer` run in parallel, and the API listens some seconds after its port is chosen."""
    port = ports.free_port()
    with port_in_use(port):
        assert not ports.is_free(port), "the row listens on a port that nobody has reserved"
    with socket.socket(socket.AF_UNIX) as reservation:
        reservation.bind(f"\0stumble-port-{port}")
        with port_in_use(port):
            assert ports.is_free(port)


def test_port_in_use_is_replaced(tmp_path: Path) -> None:
    port = ports.remembered_port(tmp_path, "api")
    assert ports.remembered_port(tmp_path, "api") == port
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((ports.LOOPBACK, port))
        server.listen()
        assert ports.remembered_port(tmp_path, "api") != port
