"""`stumble check` against real servers with faults planted one by one: each is named, with what to do about it."""

import fcntl
import json
import os
import pwd
import socket
import tempfile
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from stumble.checks import outbox
from stumble.checks.mounts import Mount
from stumble.checks.takeover import check_consumer_protocol
from stumble.store.migrate import migrate

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def check(told):
    """Run checks in an environment; exit status and findings by (level, subject)."""

    def run(environment, *words):
        status, text = told(environment, "check", "--json", *words)
        assert text.startswith("{"), text
        found = {}
        for one in json.loads(text)["checks"]:
            for item in one["findings"]:
                key = (item["level"], item["subject"])
                found[key] = f"{found.get(key, '')}{item['says']} → {item['todo']}\n"
        return status, found

    return run


@pytest.fixture
def store(database_url):
    """Environment of a migrated store."""
    migrate(database_url)
    return {"STUMBLE_DATABASE_URL": database_url}


def subject(url):
    return url.rpartition("@")[2]


def test_a_database_is_reached_migrated_and_may_be_used(check, database_url):
    environment = {"STUMBLE_DATABASE_URL": database_url}
    name = subject(database_url)
    status, found = check(environment, "database")
    assert (status, "→ run `stumble store migrate`" in found["wrong", name]) == (1, True)
    migrate(database_url)
    _, found = check(environment, "database")
    assert "may read and write it" in found["fine", name]
    with psycopg.connect(database_url, autocommit=True) as connection:
        role = f"r{uuid.uuid4().hex[:8]}"
        connection.execute(f"create role {role} login password 'x'")
        try:
            as_role = database_url.replace("postgres:", f"{role}:", 1).replace(
                database_url.partition("postgres:")[2].partition("@")[0], "x", 1
            )
            _, found = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert f"{role} may not use the store" in found["wrong", name]
            connection.execute(f"grant usage on schema stumble_durable, stumble_derived to {role}")
            for schema in ("stumble_durable", "stumble_derived"):
                connection.execute(f"grant select on all tables in schema {schema} to {role}")
            _, found = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert "may only read" in found["warning", name]
            connection.execute(f"revoke select on stumble_derived.requests from {role}")
            _, found = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert f"{role} may not read requests" in found["wrong", name]
        finally:
            connection.execute(f"drop owned by {role}")
            connection.execute(f"drop role {role}")
        connection.execute("update stumble_durable.alembic_version set version_num = '0099'")
        _, found = check(environment, "database")
        assert "the store is at version 0099" in found["wrong", name]
        assert "upgrade stumble here" in found["wrong", name]
    _, found = check({"STUMBLE_DATABASE_URL": f"{database_url}none"}, "database")
    assert "createdb" in found["wrong", f"{name}none"]


def test_a_writer_that_holds_alerts_up_is_named_and_nobody_else_is(check, own_postgres):
    url, other = own_postgres.create_database("stumble"), own_postgres.create_database("other")
    migrate(url)
    name, store = subject(url), {"STUMBLE_DATABASE_URL": url}
    with (
        psycopg.connect(url, autocommit=True) as connection,
        psycopg.connect(url) as slow,
        psycopg.connect(other) as far,
    ):
        far.execute("select pg_current_xact_id()")
        slow.execute("select pg_current_xact_id()")
        connection.execute(
            "insert into stumble_durable.publications (kind, subject_id, request_key, instance_uuid, revision, status,"
            " payload, kafka_partition, created_at) values ('failure', gen_random_uuid(), gen_random_uuid(),"
            " gen_random_uuid(), 1, 'CURRENT', '{}', 0, now() - interval '5 minutes')"
        )
        assert "pg_terminate_backend" not in check(store, "database")[1].get(("wrong", name), "")
        slow.execute("select pg_advisory_xact_lock(7, 1)")
        status, found = check(store, "database")
        assert status == 1
        assert "does not end" in found["wrong", name]
        assert f"pg_terminate_backend({slow.info.backend_pid})" in found["wrong", name]
        slow.commit()
        assert "pg_terminate_backend" not in check(store, "database")[1].get(("wrong", name), "")


def test_hosts_that_are_silent_wait_or_refuse_and_what_the_tap_could_not_wrap(check, store):
    with psycopg.connect(store["STUMBLE_DATABASE_URL"]) as connection:
        for host, silent, waiting, refused, tap in (
            ("well", 10, None, 0, "on"),
            ("gone", 7200, None, 0, "on"),
            ("slow", 10, 900, 0, "partial: not Migration.save"),
            ("full", 10, None, 12, "off"),
        ):
            status = {"tap": tap, "service": "nova-compute", "quarantined_total": 0}
            connection.execute(
                "insert into stumble_durable.producers values (%s, 'uid-1/nova-compute-1-a',"
                " now() - make_interval(secs => %s), true, now() - make_interval(secs => %s), 7, 0, 0, 0, %s, 0, %s)",
                (host, silent, waiting, refused, json.dumps(status)),
            )
    status, found = check(store, "producers", "tap")
    assert status == 1
    assert "silent for 2 hours" in found["wrong", "gone"]
    assert "7 events wait for up to 15 minutes" in found["wrong", "slow"]
    assert "12 events were refused" in found["warning", "full"]
    assert "not Migration.save" in found["warning", "nova-compute on slow"]
    assert "the tap is off" in found["warning", "nova-compute on full"]
    assert found["fine", "producers"].startswith("3 of 4 hosts speak")


def test_receivers_and_rules(check, store, tmp_path):
    with psycopg.connect(store["STUMBLE_DATABASE_URL"]) as connection:
        for url, disabled in (("http://127.0.0.1:9/hook-secret", None), ("http://127.0.0.2:9/x", "now()")):
            connection.execute(
                "insert into stumble_durable.subscriptions (id, url, body, kinds, rules, match, secrets,"
                " disabled_at, disabled_reason) values (gen_random_uuid(), %s, 'standard', '{alert}', '{no-such}',"
                " '{}', '{}', %s, 'gone')",
                (url, disabled),
            )
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "x"\non = "never"\n')
    with answering({"/api/v2/status": {"versionInfo": {}}}) as alive, answering({}) as other:
        environment = store | {
            "STUMBLE_ALERTS_ALERTMANAGERS": f"{alive},http://u:pw-of-it@127.0.0.1:9",
            "STUMBLE_ALERTS_WEBHOOK_NETWORKS": "127.0.0.1/32",
            "STUMBLE_ALERTS_RULES": str(tmp_path / "rules.toml"),
        }
        status, found = check(environment, "receivers", "alert-rules")
        assert status == 1
        assert ("fine", alive) in found
        assert "does not answer" in found["warning", "http://127.0.0.1:9"], "the other replica is told"
        assert "can't be reached" in found["wrong", "webhook http://127.0.0.1"]
        assert "switched off since" in found["warning", "webhook http://127.0.0.2"]
        assert "line" in found["wrong", str(tmp_path / "rules.toml")]
        assert "hook-secret" not in repr(found)
        assert "pw-of-it" not in repr(found)
        (tmp_path / "rules.toml").write_text('[[rule]]\nname = "x"\non = "problem"\n')
        status, found = check(store | {"STUMBLE_ALERTS_ALERTMANAGERS": other}, "receivers")
        assert (status, "answers 404" in found["wrong", other]) == (1, True)
        assert "waits for alerts of no-such: no such rule is in force" in found["warning", "webhooks"]


@pytest.mark.parametrize(
    ("level", "compatible", "finding"),
    [("FULL_TRANSITIVE", True, "fine"), ("BACKWARD", True, "warning"), ("FULL_TRANSITIVE", False, "wrong")],
)
def test_a_registry_that_lets_anything_in(check, level, compatible, finding):
    name = "instance-actions-value"
    answers = {
        f"/config/{name}?defaultToGlobal=true": {"compatibilityLevel": level},
        f"/compatibility/subjects/{name}/versions/latest": {"is_compatible": compatible},
        "*": {"compatibilityLevel": level, "is_compatible": compatible},
    }
    with answering(answers) as url:
        status, found = check({"STUMBLE_KAFKA__SCHEMA_REGISTRY_URL": url}, "registry")
    assert (status, (finding, name) in found) == (int(finding == "wrong"), True)


@pytest.fixture
def public_folder():
    """A folder that the user nobody can get to; pytest's own may lie below one that only its owner may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_the_outbox_and_its_relay(check, public_folder, monkeypatch):
    directory = public_folder / "outbox"
    environment = {"STUMBLE_OUTBOX_DIR": str(directory)}
    directory.mkdir()
    directory.chmod(0o755)
    status, found = check(environment, "outbox", "relay")
    assert (status, "no relay serves it" in found["wrong", str(directory)]) == (1, True)
    (directory / "relay").mkdir()
    with (directory / "relay" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, found = check(environment, "relay")
        assert (status, "a relay serves it" in found["fine", str(directory)]) == (0, True)
    if os.geteuid() == 0:
        assert "checked as root" in check(environment, "outbox")[1]["warning", str(directory)]
        status, found = check(environment, "outbox", "--user", "nobody")
        assert (status, "nobody can't write" in found["wrong", str(directory)]) == (1, True)
    status, found = check(environment, "outbox", "--user", "no-such-user")
    assert "there is no such user" in found["wrong", "no-such-user"]

    for free, level in ((4, "wrong"), (8, "warning"), (50, "fine")):
        monkeypatch.setattr(outbox.os, "statvfs", lambda _, free=free: room(free))
        found = check(environment, "outbox")[1]
        assert any(key[0] == level and f"{free}% free" in says for key, says in found.items())
    for mount, says in (
        (Mount("/var", "nfs4", read_only=False), "a network file system"),
        (Mount("/run", "tmpfs", read_only=False), "memory: events are lost with it"),
        (Mount("/", "overlay", read_only=False), "a container's own layer"),
        (Mount("/x", "ext4", read_only=True), "for reading only"),
    ):
        monkeypatch.setattr(outbox, "mount_of", lambda _, mount=mount: mount)
        status, found = check(environment, "outbox")
        assert (status, says in found["wrong", str(directory)]) == (1, True)


def room(percent):
    return SimpleNamespace(f_bavail=percent, f_blocks=100, f_frsize=1 << 30, f_files=0, f_favail=0)


def test_secrets_that_everybody_can_read(check, tmp_path):
    path = tmp_path / "database_url"
    path.write_text("postgresql://u:pw@h/x")
    for mode, expected in ((0o644, 1), (0o600, 0)):
        path.chmod(mode)
        assert check({"STUMBLE_SECRETS_DIR": str(tmp_path)}, "configuration")[0] == expected
    config = tmp_path / "stumble.toml"
    config.write_text('[kafka.options]\n"sasl.password" = "x"\n')
    config.chmod(0o644)
    assert check({"STUMBLE_SECRETS_DIR": "", "STUMBLE_CONFIG": str(config)}, "configuration")[0] == 1
    config.write_text('[kafka]\nbootstrap_servers = "a:1,b:1"\n')
    assert check({"STUMBLE_CONFIG": str(config)}, "configuration")[0] == 0


def test_settings_that_nobody_reads(check, tmp_path):
    config = tmp_path / "stumble.toml"
    config.write_text('databse_url = "x"\n[kafka]\nbootstrap_servers = "a:1"\n[bridge]\n')
    environment = {"STUMBLE_CONFIG": str(config), "STUMBLE_ALERTS_ALERTMANAGER": "http://a", "STUMBLE_API_PORT": "1"}
    _, found = check(environment, "configuration")
    assert found["warning", str(config)] == "nobody reads databse_url → did you mean database_url?\n"
    assert "did you mean STUMBLE_ALERTS_ALERTMANAGERS?" in found["warning", "environment"]
    assert "STUMBLE_API_PORT" not in repr(found)


def test_how_soon_a_dead_projector_is_missed(check, kafka):
    environment = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka}
    for options, level, says in (
        ({}, "fine", "missed after 6 s (classic protocol"),
        ({"session.timeout.ms": 45000}, "warning", "missed after 45 s"),
        ({"session.timeout.ms": 500}, "wrong", "the broker allows 1000 to"),
        ({"group.protocol": "consumer"}, "fine", "the broker's group.consumer.session.timeout.ms 6000"),
    ):
        given = {"STUMBLE_KAFKA__CONSUMER_OPTIONS": json.dumps(options)}
        status, found = check(environment | given, "take-over")
        assert (status, says in found[level, "projectors"]) == (int(level == "wrong"), True), found


def test_without_an_authorizer_nobody_lacks_a_right(check, kafka):
    status, found = check({"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka}, "rights")
    assert (status, list(found)) == (0, [("fine", "rights")])
    assert "no authorizer is on" in found["fine", "rights"]


def test_how_soon_is_said_for_brokers_with_other_settings():
    assert (check_consumer_protocol({}).level, "after 45 s" in check_consumer_protocol({}).says) == ("warning", True)
    old = {"group.coordinator.rebalance.protocols": "classic,share"}
    assert check_consumer_protocol(old).level == "wrong"


def test_topics_of_notifications_that_nobody_reads(check, kafka, new_topic, tmp_path):
    name = f"n{uuid.uuid4().hex[:8]}"
    new_topic(f"{name}.error", 1)
    conf = tmp_path / "bridge.toml"
    conf.write_text(f'[[bridge.transports]]\nname = "bus"\nurl = "kafka://{kafka}/"\ntopics = ["{name}"]\n')
    status, found = check({"STUMBLE_CONFIG": str(conf)}, "notifications")
    assert status == 1
    assert "no consumer group reads it" in found["warning", f"bus {name}.error"]
    assert "start `stumble bridge`" in found["wrong", "bus"]


def test_servers_that_take_connections_and_say_nothing_hang_nothing(check, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=50) as mute:
        port = mute.getsockname()[1]
        conf = tmp_path / "stumble.toml"
        conf.write_text(f'[[bridge.transports]]\nname = "bus"\nurl = "rabbit://u:p@127.0.0.1:{port}/"\n')
        status, found = check(
            {
                "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
                "STUMBLE_DATABASE_URL": f"postgresql://u@127.0.0.1:{port}/x",
                "STUMBLE_KAFKA__SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{port}",
                "STUMBLE_ALERTS_ALERTMANAGERS": f"http://127.0.0.1:{port}",
                "STUMBLE_OUTBOX_DIR": str(tmp_path),
                "STUMBLE_CONFIG": str(conf),
            }
        )
    assert status == 1
    wrong = {name for level, name in found if level == "wrong"}
    assert {f"127.0.0.1:{port}", f"127.0.0.1:{port}/x", "registry", f"http://127.0.0.1:{port}", "bus"} <= wrong


@contextmanager
def answering(answers):
    """A server that gives each path its JSON, `*` is for all others; 404 without."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path, answers.get("*"))
            body = json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
