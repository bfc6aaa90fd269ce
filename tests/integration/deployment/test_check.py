"""`stumble check` with real servers and planted faults: each fault is reported with what to do."""

import fcntl
import json
import os
import pwd
import socket
import tempfile
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
from stumble.provision.topics import TopicPlan, apply_plans
from stumble.settings.kafka import KafkaSettings
from stumble.store.migrate import migrate
from tests.support.command import stumble
from tests.support.serving import serving
from tests.support.signing import new_key, write_public_keys

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def check(run_command):
    """Return a function that runs checks; it returns exit status and results by (level, subject)."""

    def run(environment, *words):
        status, text = run_command(environment, "check", "--json", *words)
        assert text.startswith("{"), text
        results: dict[tuple[str, str], str] = {}
        for one in json.loads(text)["checks"]:
            for item in one["findings"]:
                key = (item["level"], item["subject"])
                results[key] = f"{results.get(key, '')}{item['says']} → {item['todo']}\n"
        return status, results

    return run


@pytest.fixture
def store(database_url):
    """Environment of a migrated store."""
    migrate(database_url)
    return {"STUMBLE_DATABASE_URL": database_url}


def subject(url):
    return url.rpartition("@")[2]


def test_database_check_reports_migration_rights_and_version(check, database_url):
    environment = {"STUMBLE_DATABASE_URL": database_url}
    name = subject(database_url)
    status, results = check(environment, "database")
    assert (status, "→ run `stumble store migrate`" in results["wrong", name]) == (1, True)
    migrate(database_url)
    _, results = check(environment, "database")
    assert "may read and write it" in results["fine", name]
    with psycopg.connect(database_url, autocommit=True) as connection:
        role = f"r{uuid.uuid4().hex[:8]}"
        connection.execute(f"create role {role} login password 'x'")
        try:
            as_role = database_url.replace("postgres:", f"{role}:", 1).replace(
                database_url.partition("postgres:")[2].partition("@")[0], "x", 1
            )
            _, results = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert f"{role} may not use the store" in results["wrong", name]
            connection.execute(f"grant usage on schema stumble_durable, stumble_derived to {role}")
            for schema in ("stumble_durable", "stumble_derived"):
                connection.execute(f"grant select on all tables in schema {schema} to {role}")
            _, results = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert "may only read" in results["warning", name]
            assert stumble("store", "grant", "api", role, STUMBLE_DATABASE_URL=database_url).returncode == 0
            _, results = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert f"the rights of {role} are enough for api, not for alerter, projector" in results["warning", name]
            assert f"run `stumble store grant alerter {role}`" in results["warning", name]
            connection.execute(f"revoke update on stumble_durable.problems from {role}")
            _, results = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert "are not enough for the api: it may not write problems" in results["wrong", name]
            connection.execute(f"revoke select on stumble_derived.requests from {role}")
            _, results = check({"STUMBLE_DATABASE_URL": as_role}, "database")
            assert f"{role} may not read requests" in results["wrong", name]
        finally:
            connection.execute(f"drop owned by {role}")
            connection.execute(f"drop role {role}")
        connection.execute("update stumble_durable.alembic_version set version_num = '0099'")
        _, results = check(environment, "database")
        assert "the store is at version 0099" in results["wrong", name]
        assert "upgrade stumble here" in results["wrong", name]
    _, results = check({"STUMBLE_DATABASE_URL": f"{database_url}none"}, "database")
    assert "createdb" in results["wrong", f"{name}none"]


def test_database_check_reports_a_restored_store_and_readers_that_are_ahead_of_the_server(check, store, database_url):
    name = subject(database_url)
    assert "incarnation since 20" in check(store, "database")[1]["fine", name]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "insert into stumble_durable.cursors select 'alerter', number, '99999999', 1, 1, now()"
            " from stumble_durable.store_incarnations"
        )
        status, results = check(store, "database")
        assert status == 1
        assert "alerter would deliver nothing" in results["wrong", name]
        connection.execute("update stumble_durable.store_incarnations set identity = 'another server'")
        status, results = check(store, "database")
        assert "has not begun a new incarnation yet → run `stumble store migrate`" in results["warning", name]
    assert stumble("store", "migrate", STUMBLE_DATABASE_URL=database_url).returncode == 0
    _, results = check(store, "database")
    assert "another server took over" in results["fine", name]
    assert "deliver nothing" not in results.get(("wrong", name), "")


def test_database_check_names_only_the_writer_that_delays_alerts(check, own_postgres):
    url, other = own_postgres.create_database("stumble"), own_postgres.create_database("other")
    migrate(url)
    name, store = subject(url), {"STUMBLE_DATABASE_URL": url}
    with (
        psycopg.connect(url, autocommit=True) as connection,
        psycopg.connect(url) as slow,
        psycopg.connect(other) as other_session,
    ):
        other_session.execute("select pg_current_xact_id()")
        slow.execute("select pg_current_xact_id()")
        connection.execute(
            "insert into stumble_durable.publications (kind, subject_id, request_key, instance_uuid, revision,"
            " correction, status, payload, kafka_partition, created_at, incarnation) select 'failure',"
            " gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, false, 'CURRENT', '{}', 0,"
            " now() - interval '5 minutes', max(number) from stumble_durable.store_incarnations"
        )
        assert "pg_terminate_backend" not in check(store, "database")[1].get(("wrong", name), "")
        slow.execute("select pg_advisory_xact_lock(7, 1)")
        status, results = check(store, "database")
        assert status == 1
        assert "does not end" in results["wrong", name]
        assert f"pg_terminate_backend({slow.info.backend_pid})" in results["wrong", name]
        slow.commit()
        assert "pg_terminate_backend" not in check(store, "database")[1].get(("wrong", name), "")


def test_producers_check_reports_silent_lagging_and_refusing_hosts_and_the_tap(check, store):
    with psycopg.connect(store["STUMBLE_DATABASE_URL"]) as connection:
        for host, silent, waiting, refused, tap in (
            ("well", 10, None, 0, "on"),
            ("gone", 7200, None, 0, "on"),
            ("slow", 10, 900, 0, "partial: not Migration.save"),
            ("full", 10, None, 12, "off"),
            ("early", 10, None, 0, "on"),
        ):
            status = {"tap": tap, "service": "nova-compute", "quarantined_total": 0}
            connection.execute(
                "insert into stumble_durable.producers (host, process, reported_at, received_at, alive,"
                " oldest_unsent_at, backlog_events, backlog_bytes, accepted_total, sent_total, refused_total,"
                " rejected_total, status) values (%s, 'uid-1/nova-compute-1-a', now() + make_interval(secs => %s),"
                " now() - make_interval(secs => %s), true, now() - make_interval(secs => %s), 7, 0, 0, 0, %s, 0, %s)",
                (host, 7200 - silent if host == "early" else -silent, silent, waiting, refused, json.dumps(status)),
            )
    status, results = check(store, "producers", "tap")
    assert status == 1
    assert "silent for 2 hours" in results["wrong", "gone"]
    assert "7 events wait for up to 15 minutes" in results["wrong", "slow"]
    assert "12 events were refused" in results["warning", "full"]
    assert "not Migration.save" in results["warning", "nova-compute on slow"]
    assert "the tap is off" in results["warning", "nova-compute on full"]
    assert "its clock is 2 hours ahead of Kafka's" in results["wrong", "early"]
    assert results["fine", "producers"].startswith("4 of 5 hosts report")


def test_unreachable_receivers_and_invalid_rules_are_reported(check, store, tmp_path):
    with psycopg.connect(store["STUMBLE_DATABASE_URL"]) as connection:
        for url, disabled in (("http://127.0.0.1:9/hook-secret", None), ("http://127.0.0.2:9/x", "now()")):
            connection.execute(
                "insert into stumble_durable.subscriptions (id, url, body, kinds, rules, match, secrets,"
                " disabled_at, disabled_reason) values (gen_random_uuid(), %s, 'standard', '{alert}', '{no-such}',"
                " '{}', '{}', %s, 'gone')",
                (url, disabled),
            )
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "x"\non = "never"\n')
    with json_server({"/api/v2/status": {"versionInfo": {}}}) as alive, json_server({}) as other:
        environment = store | {
            "STUMBLE_ALERTS_ALERTMANAGERS": f"{alive},http://u:pw-of-it@127.0.0.1:9",
            "STUMBLE_ALERTS_WEBHOOK_NETWORKS": "127.0.0.1/32",
            "STUMBLE_ALERTS_RULES": str(tmp_path / "rules.toml"),
        }
        status, results = check(environment, "receivers", "alert-rules")
        assert status == 1
        assert ("fine", alive) in results
        assert "does not answer" in results["warning", "http://127.0.0.1:9"], "the other replica receives the alerts"
        assert "cannot connect" in results["wrong", "webhook http://127.0.0.1"]
        assert "disabled since" in results["warning", "webhook http://127.0.0.2"]
        assert "line" in results["wrong", str(tmp_path / "rules.toml")]
        assert "hook-secret" not in repr(results)
        assert "pw-of-it" not in repr(results)
        (tmp_path / "rules.toml").write_text('[[rule]]\nname = "x"\non = "problem"\n')
        status, results = check(store | {"STUMBLE_ALERTS_ALERTMANAGERS": other}, "receivers")
        assert (status, "answers 404" in results["wrong", other]) == (1, True)
        assert "waits for alerts of no-such: no such rule is in force" in results["warning", "webhooks"]


@pytest.fixture
def public_folder():
    """A folder that the user nobody can enter; pytest's own may be below one that only its owner may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_outbox_and_relay_checks_report_relay_rights_space_and_mount(check, public_folder, monkeypatch):
    directory = public_folder / "outbox"
    environment = {"STUMBLE_OUTBOX_DIR": str(directory)}
    directory.mkdir()
    directory.chmod(0o755)
    status, results = check(environment, "outbox", "relay")
    assert (status, "no relay serves it" in results["wrong", str(directory)]) == (1, True)
    (directory / "relay").mkdir()
    with (directory / "relay" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, results = check(environment, "relay")
        assert (status, "a relay serves it" in results["fine", str(directory)]) == (0, True)
    if os.geteuid() == 0:
        assert "checked as root" in check(environment, "outbox")[1]["warning", str(directory)]
        status, results = check(environment, "outbox", "--user", "nobody")
        assert (status, "nobody cannot write" in results["wrong", str(directory)]) == (1, True)
    status, results = check(environment, "outbox", "--user", "no-such-user")
    assert "there is no such user" in results["wrong", "no-such-user"]

    for free, level in ((4, "wrong"), (8, "warning"), (50, "fine")):
        monkeypatch.setattr(os, "statvfs", lambda _, free=free: free_space(free))
        results = check(environment, "outbox")[1]
        assert any(key[0] == level and f"{free}% free" in says for key, says in results.items())
    for mount, says in (
        (Mount("/var", "nfs4", read_only=False), "a network file system"),
        (Mount("/run", "tmpfs", read_only=False), "memory: events are lost with it"),
        (Mount("/", "overlay", read_only=False), "a container's own layer"),
        (Mount("/x", "ext4", read_only=True), "mounted read-only"),
    ):
        monkeypatch.setattr(outbox, "mount_of", lambda _, mount=mount: mount)
        status, results = check(environment, "outbox")
        assert (status, says in results["wrong", str(directory)]) == (1, True)


def free_space(percent):
    return SimpleNamespace(f_bavail=percent, f_blocks=100, f_frsize=1 << 30, f_files=0, f_favail=0)


def test_secrets_that_all_users_can_read_are_reported(check, tmp_path):
    tmp_path.chmod(0o755)  # pytest makes a folder that no other user can enter, so none could read a file in it
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


def test_unknown_settings_are_reported(check, tmp_path):
    config = tmp_path / "stumble.toml"
    config.write_text('databse_url = "x"\n[kafka]\nbootstrap_servers = "a:1"\n[bridge]\n')
    environment = {"STUMBLE_CONFIG": str(config), "STUMBLE_ALERTS_ALERTMANAGER": "http://a", "STUMBLE_API_PORT": "1"}
    _, results = check(environment, "configuration")
    assert results["warning", str(config)] == "unknown setting databse_url → did you mean database_url?\n"
    assert "did you mean STUMBLE_ALERTS_ALERTMANAGERS?" in results["warning", "environment"]
    assert "STUMBLE_API_PORT" not in repr(results)


def test_take_over_check_reports_when_a_dead_projector_is_detected(check, kafka):
    environment = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka}
    for options, level, says in (
        ({}, "fine", "is detected after 6 s (classic protocol"),
        ({"session.timeout.ms": 45000}, "warning", "is detected after 45 s"),
        ({"session.timeout.ms": 500}, "wrong", "the broker allows 1000 to"),
        ({"group.protocol": "consumer"}, "fine", "the broker's group.consumer.session.timeout.ms 6000"),
    ):
        consumer_options = {"STUMBLE_KAFKA__CONSUMER_OPTIONS": json.dumps(options)}
        status, results = check(environment | consumer_options, "take-over")
        assert (status, says in results[level, "projectors"]) == (int(level == "wrong"), True), results


def test_rights_check_is_fine_without_an_authorizer(check, kafka):
    status, results = check({"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka}, "rights")
    assert (status, list(results)) == (0, [("fine", "rights")])
    assert "no authorizer is on" in results["fine", "rights"]


def test_signatures_check_reports_a_topic_whose_writers_set_the_times(check, kafka, tmp_path):
    prefix = f"t{uuid.uuid4().hex[:8]}."
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=prefix)
    times = {settings.topics.actions: "CreateTime", settings.topics.producers: "LogAppendTime"}
    plans = [TopicPlan(name, 1, 1, {"message.timestamp.type": kind}, "") for name, kind in times.items()]
    list(apply_plans(settings, plans))
    keys = write_public_keys(tmp_path / "keys.toml", new_key(tmp_path, "cmp1"), unsigned_until="2026-01-01T00:00:00Z")
    environment = {
        "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "STUMBLE_KAFKA__TOPIC_PREFIX": prefix,
        "STUMBLE_KAFKA__PUBLIC_KEYS_FILE": str(keys),
    }
    status, results = check(environment, "signatures")
    assert status == 1
    assert "message.timestamp.type=LogAppendTime" in results["wrong", settings.topics.actions]
    assert ("fine", settings.topics.producers) in results


def test_consumer_protocol_check_uses_the_settings_of_the_broker():
    assert (check_consumer_protocol({}).level, "after 45 s" in check_consumer_protocol({}).says) == ("warning", True)
    old = {"group.coordinator.rebalance.protocols": "classic,share"}
    assert check_consumer_protocol(old).level == "wrong"


def test_notification_topics_without_a_consumer_group_are_reported(check, kafka, new_topic, tmp_path):
    name = f"n{uuid.uuid4().hex[:8]}"
    new_topic(f"{name}.error", 1)
    conf = tmp_path / "bridge.toml"
    conf.write_text(f'[[bridge.transports]]\nname = "bus"\nurl = "kafka://{kafka}/"\ntopics = ["{name}"]\n')
    status, results = check({"STUMBLE_CONFIG": str(conf)}, "notifications")
    assert status == 1
    assert "no consumer group reads it" in results["warning", f"bus {name}.error"]
    assert "start `stumble bridge`" in results["wrong", "bus"]


def test_checks_of_servers_that_do_not_answer_time_out(check, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent_server:
        port = silent_server.getsockname()[1]
        conf = tmp_path / "stumble.toml"
        conf.write_text(f'[[bridge.transports]]\nname = "bus"\nurl = "rabbit://u:p@127.0.0.1:{port}/"\n')
        status, results = check(
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
    wrong = {name for level, name in results if level == "wrong"}
    assert {f"127.0.0.1:{port}", f"127.0.0.1:{port}/x", "registry", f"http://127.0.0.1:{port}", "bus"} <= wrong


@contextmanager
def json_server(answers):
    """Run a server that answers each path with its JSON, other paths with that of `*`, or else with 404."""

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

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url
