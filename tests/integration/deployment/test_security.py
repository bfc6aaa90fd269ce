"""TLS, SASL and an authorizer: each role with its own principal, verified certificates, no secret in any output."""

import json
import re
import subprocess
import sys
import time
from typing import cast

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from stumble.provision.acls import required_grants
from stumble.settings.kafka import KafkaSettings
from tests.integration.deployment import stack
from tests.integration.deployment.conftest import ROLES, stumble

PREFIX = "sec."


@pytest.fixture(scope="module")
def granted(environment_of, secure_database):
    """Topics, store and rights, created by an administrator."""
    environment = environment_of("admin", PREFIX, database_url=secure_database, STUMBLE_KAFKA__PRINCIPALS=principals())
    output = stack.once([*stack.CLI, "topics", "apply", "--partitions", "3"], environment)
    assert "User:relay may WRITE TOPIC sec.instance-actions" in output
    stack.once([*stack.CLI, "store", "migrate"], environment)


def principals():
    return json.dumps({role: f"User:{role}" for role in ROLES})


def findings(text):
    results: dict[tuple[str, str, str], str] = {}
    for check in json.loads(text)["checks"]:
        for one in check["findings"]:
            key = (check["name"], one["level"], one["subject"])
            results[key] = f"{results.get(key, '')}{one['says']} → {one['todo']}\n"
    return results


def test_every_role_works_with_its_own_principal(granted, environment_of, secure_database, secure_kafka, tmp_path):
    outbox = tmp_path / "outbox"
    common = {"STUMBLE_OUTBOX_DIR": str(outbox), "STUMBLE_LOG_LEVEL": "DEBUG", "STUMBLE_STATE_DIR": str(tmp_path)}
    common["STUMBLE_RELAY_HOSTS"] = "*"  # the simulator's events name the hosts of a whole fleet
    stack.once([*stack.CLI, "simulate", "--events", "400", "--failures", "0.5", "--rate", "1000"], common)
    services = []
    relay = {**secure_kafka.options("relay"), "sasl.password": secure_kafka.passwords["relay"]}
    unreadable = Producer({"bootstrap.servers": secure_kafka.bootstrap_servers, **relay})
    unreadable.produce(f"{PREFIX}instance-actions", b"no event")
    assert unreadable.flush(60) == 0
    try:
        for role in ("relay", "projector", "alerter"):
            role_environment = environment_of(
                role, PREFIX, **common, **({"database_url": secure_database} if role != "relay" else {})
            )
            services.append(stack.Service(role, tmp_path, [*stack.CLI, role], role_environment))
            services[-1].start()
        read = ["--from", "beginning", "--format", "json", "--limit"]
        assert '"failure_id"' in stumble(environment_of("subscriber", PREFIX), "tail", "failures", *read, "1").stdout
        # The order of the partitions is undefined: one of the two records may be the one that can't be read.
        assert '"event_id"' in stumble(environment_of("auditor", PREFIX), "tail", "actions", *read, "2").stdout
        audit = stumble(
            environment_of("auditor", PREFIX, database_url=secure_database), "audit", "--json", "--wait", "120"
        )
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert (json.loads(audit.stdout)["unreadable"], json.loads(audit.stdout)["dead_letters"]) == (1, 1)
    finally:
        ends = {service.name: service.stop() for service in services}
    assert ends == dict.fromkeys(ends, 0)
    logs = "".join(service.process.log.read_text() for service in services)
    assert "authorization" not in logs.lower()
    assert not re.search(r"canary-", logs)


def test_role_without_a_right_is_refused_with_the_grant_to_make(granted, environment_of, secure_database):
    for role, topic, command in (
        ("relay", "instance-action-failures", ("tail", "failures", "--from", "beginning", "--limit", "1")),
        ("subscriber", "instance-actions.dlq", ("dlq", "ls")),
    ):
        refused = stumble(environment_of(role, PREFIX, database_url=secure_database), *command)
        assert refused.returncode == 1
        assert f"does not permit this principal to read {PREFIX}{topic}" in refused.stderr
        assert "--grant ROLE=" in refused.stderr
        assert "does not exist" not in refused.stderr
        assert "Traceback" not in refused.stderr


def test_missing_topic_is_not_reported_as_a_missing_right(granted, environment_of, secure_database):
    elsewhere = environment_of("admin", "nowhere.", database_url=secure_database)
    for command in (("tail", "failures"), ("dlq", "ls")):
        missing = stumble(elsewhere, *command)
        assert missing.returncode == 1
        assert "Topic nowhere." in missing.stderr
        assert "does not exist" in missing.stderr
        assert "TOPIC_PREFIX" in missing.stderr


def test_check_reports_rights_of_the_connection_and_missing_rights_of_roles(
    granted, environment_of, run_command, secure_kafka
):
    environment = environment_of("operator", PREFIX, STUMBLE_KAFKA__PRINCIPALS=principals())
    status, text = run_command(environment, "check", "rights", "topics", "take-over", "clocks", "--json")
    assert status == 0, text
    results = findings(text)
    assert "operator" in results["rights", "fine", "this connection"]
    assert {("rights", "fine", role) for role in ROLES} <= results.keys()
    assert "6 s (classic protocol" in results["take-over", "fine", "projectors"]
    assert "within" in results["clocks", "fine", "broker"]

    plain = AdminClient({"bootstrap.servers": secure_kafka.server.bootstrap_servers})
    topic = "sec.instance-action-outcomes"
    any_host = cast("str", None)  # the type of the client does not allow None, the client does
    removed_acl = AclBindingFilter(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:alerter", any_host, AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    for future in plain.delete_acls([removed_acl]).values():
        future.result(30)
    deadline = time.monotonic() + 90
    while run_command(environment, "check", "rights")[0] == 0:  # the broker removes it with a delay
        assert time.monotonic() < deadline
    status, text = run_command(environment, "check", "rights", "--json")
    assert f"User:alerter lacks WRITE TOPIC {topic}" in findings(text)["rights", "wrong", "alerter"]
    status, text = run_command(environment, "topics", "plan", "--partitions", "3", "--format", "json")
    assert (status, json.loads(text)["lacking"]) == (1, [["alerter", f"WRITE TOPIC {topic}"]])
    status, text = run_command(environment_of("alerter", PREFIX), "check", "rights", "topics", "--json")
    results = findings(text)
    assert (status, ("rights", "wrong", "this connection") in results) == (1, True)
    assert ("topics", "skipped", "sec.instance-actions") in results
    stack.once([*stack.CLI, "topics", "apply"], environment_of("admin", PREFIX, STUMBLE_KAFKA__PRINCIPALS=principals()))


def test_certificates_are_verified(granted, environment_of, run_command, secure_database, tmp_path):
    environment = environment_of("relay", PREFIX, database_url=secure_database)
    options = json.loads(environment["STUMBLE_KAFKA__OPTIONS"])
    status, text = run_command(environment, "check", "brokers", "database", "--json")
    results = findings(text)
    assert any(name == "brokers" and "by SASL_SSL" in says for (name, _, _), says in results.items())
    assert any(
        name == "database" and "PostgreSQL 1" in says and "TLS" in says for (name, _, _), says in results.items()
    )
    del options["ssl.ca.location"]
    for wrong, words in (
        (options, "ssl.ca.location in STUMBLE_KAFKA__OPTIONS"),
        ({**options, "enable.ssl.certificate.verification": False, "sasl.username": "cook"}, "check sasl.username"),
        ({"security.protocol": "plaintext"}, "security.protocol"),
        ({"security.protocl": "plaintext"}, "correct the name"),
    ):
        broken = {"STUMBLE_KAFKA__OPTIONS": json.dumps(wrong)}
        status, text = run_command(environment | broken, "check", "brokers", "--json")
        assert status == 1
        assert words in next(iter(findings(text).values()))
    (tmp_path / "database_url").write_text(re.sub(r"&sslrootcert=.*", "&sslrootcert=system", secure_database))
    status, text = run_command({"STUMBLE_SECRETS_DIR": str(tmp_path)}, "check", "database", "--json")
    assert (status, "certificate verify failed" in text) == (1, True)
    assert "canary-" not in text


#: Commands with settings that are invalid before any connection is made.
INVALID = (
    (["check", "brokers"], {"STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1", "x": 1}'}),
    (["topics", "apply"], {"STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1", "x": 1}'}),
    (["check"], {"STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1"'}),
    (["relay"], {"STUMBLE_KAFKA": '["canary-1"]'}),
    (["store", "migrate"], {"STUMBLE_DATABASE_URL": "user=stumble password=canary-2 sslmod=canary-2 host"}),
    (["check", "database"], {"STUMBLE_DATABASE_URL": "user=stumble password=canary-2 sslmod=canary-2 host"}),
    (["bridge"], {"STUMBLE_CONFIG": '[[bridge.transports]]\nname = "a"\nurl = "rabit://u:canary-5@h/"\n'}),
    (["bridge"], {"STUMBLE_CONFIG": '[kafka.options]\n"sasl.password" = "canary-1\n'}),
)
#: Servers that do not answer, with secrets in all settings.
UNREACHABLE = {
    "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1", "sasl.username": "u", "sasl.mechanism": "PLAIN"}',
    "STUMBLE_DATABASE_URL": "postgresql://stumble:canary-2@127.0.0.1:9/stumble",
    "STUMBLE_KAFKA__SCHEMA_REGISTRY_URL": "http://user:canary-3@127.0.0.1:9/",
    "STUMBLE_ALERTS_ALERTMANAGERS": "http://user:canary-4@127.0.0.1:9/",
    "STUMBLE_DEBUG": "1",
    "STUMBLE_LOG_LEVEL": "DEBUG",
}


@pytest.mark.parametrize(("words", "settings"), INVALID, ids="-".join)
def test_no_secret_is_in_an_error_message(words, settings, run_command, tmp_path):
    if "STUMBLE_CONFIG" in settings:
        (tmp_path / "config.toml").write_text(settings["STUMBLE_CONFIG"])
        settings = {"STUMBLE_CONFIG": str(tmp_path / "config.toml")}
    status, text = run_command({"STUMBLE_DEBUG": "1", "COLUMNS": "300", **settings}, *words)
    assert status == 1
    assert text
    assert "canary" not in text


def test_no_secret_is_in_a_log(tmp_path):
    (tmp_path / "bridge.toml").write_text(
        '[[bridge.transports]]\nname = "a"\nurl = "rabbit://u:canary-5@127.0.0.1:9/"\n'
        '[[bridge.transports]]\nname = "b"\nurl = "rabbit://u:canary-5@127.0.0.1:port/"\n'
    )
    base = UNREACHABLE | {
        "STUMBLE_OUTBOX_DIR": str(tmp_path / "outbox"),
        "STUMBLE_STATE_DIR": str(tmp_path),
        "STUMBLE_CONFIG": str(tmp_path / "bridge.toml"),
    }
    long_running = ["relay", "projector", "alerter", "api", "bridge"]
    logs = {name: tmp_path / f"{name}.log" for name in ["check", *long_running]}
    running = {name: start([name], base, log) for name, log in logs.items()}
    deadline = time.monotonic() + 120
    try:
        while time.monotonic() < deadline and (
            running["check"].poll() is None or not all(log.stat().st_size for log in logs.values())
        ):
            time.sleep(0.1)
    finally:
        for process in running.values():
            process.kill()
            process.wait(30)
    for name, log in logs.items():
        text = log.read_text()
        assert text, name
        assert "canary" not in text, (name, text)


def start(words, environment, log):
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "stumble.cli", *words],
            env=stack.cli_environment(**environment),
            stdout=out,
            stderr=out,
        )


def test_relay_subscriber_and_auditor_get_only_the_rights_they_need():
    expected_grants = {(item.role, item.text) for item in required_grants(KafkaSettings())}
    assert {text for role, text in expected_grants if role == "relay"} == {
        "WRITE TOPIC instance-actions",
        "WRITE TOPIC instance-action-producers",
    }
    assert {text for role, text in expected_grants if role == "projector" and not text.startswith("READ")} == {
        "WRITE TOPIC instance-actions.dlq",
        "DESCRIBE_CONFIGS TOPIC instance-actions",
    }
    assert not [
        text for role, text in expected_grants if role in {"subscriber", "auditor"} and not text.startswith("READ")
    ]
