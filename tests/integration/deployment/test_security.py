"""TLS, SASL and an authorizer for real: each role as its own principal, certificates verified, secrets never shown."""

import json
import re
import subprocess
import sys
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType, AdminClient, ResourcePatternType

from stumble.provision.acls import ResourceType, grants
from stumble.settings.kafka import KafkaSettings
from tests.integration.deployment import stack
from tests.integration.deployment.conftest import ROLES, stumble

PREFIX = "sec."


@pytest.fixture(scope="module")
def granted(acting, secure_database):
    """Topics, store and rights as an administrator makes them."""
    made = acting("admin", PREFIX, database_url=secure_database, STUMBLE_KAFKA__PRINCIPALS=principals())
    told = stack.once([*stack.CLI, "topics", "apply", "--partitions", "3"], made)
    assert "User:relay may WRITE TOPIC sec.instance-actions" in told
    stack.once([*stack.CLI, "store", "migrate"], made)


def principals():
    return json.dumps({role: f"User:{role}" for role in ROLES})


def findings(text):
    found = {}
    for check in json.loads(text)["checks"]:
        for one in check["findings"]:
            place = (check["name"], one["level"], one["subject"])
            found[place] = f"{found.get(place, '')}{one['says']} → {one['todo']}\n"
    return found


def test_every_role_works_as_its_own_principal(granted, acting, secure_database, secure_kafka, tmp_path):
    outbox = tmp_path / "outbox"
    common = {"STUMBLE_OUTBOX_DIR": str(outbox), "STUMBLE_LOG_LEVEL": "DEBUG", "STUMBLE_STATE_DIR": str(tmp_path)}
    stack.once([*stack.CLI, "simulate", "--events", "400", "--failures", "0.5", "--rate", "1000"], common)
    services = []
    relay = {**secure_kafka.options("relay"), "sasl.password": secure_kafka.passwords["relay"]}
    unreadable = Producer({"bootstrap.servers": secure_kafka.bootstrap_servers, **relay})
    unreadable.produce(f"{PREFIX}instance-actions", b"no event")
    assert unreadable.flush(60) == 0
    try:
        for role in ("relay", "projector", "alerter"):
            own = acting(role, PREFIX, **common, **({"database_url": secure_database} if role != "relay" else {}))
            services.append(stack.Service(role, tmp_path, [*stack.CLI, role], own))
            services[-1].start()
        read = ["--from", "beginning", "--format", "json", "--limit"]
        assert '"failure_id"' in stumble(acting("subscriber", PREFIX), "tail", "failures", *read, "1").stdout
        # Which partition comes first is anybody's guess: one of the two may be the record that can't be read.
        assert '"event_id"' in stumble(acting("auditor", PREFIX), "tail", "actions", *read, "2").stdout
        audit = stumble(acting("auditor", PREFIX, database_url=secure_database), "audit", "--json", "--wait", "120")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert (json.loads(audit.stdout)["unreadable"], json.loads(audit.stdout)["dead_letters"]) == (1, 1)
    finally:
        ends = {service.name: service.stop() for service in services}
    assert ends == dict.fromkeys(ends, 0)
    logs = "".join(service.process.log.read_text() for service in services)
    assert "authorization" not in logs.lower()
    assert not re.search(r"canary-", logs)


def test_what_a_role_needs_no_right_for_it_may_not(granted, acting, secure_database):
    for role, topic, command in (
        ("relay", "instance-action-failures", ("tail", "failures", "--from", "beginning", "--limit", "1")),
        ("subscriber", "instance-actions.dlq", ("dlq", "ls")),
    ):
        refused = stumble(acting(role, PREFIX, database_url=secure_database), *command)
        assert refused.returncode == 1
        assert f"does not let this principal look at {PREFIX}{topic}" in refused.stderr
        assert "--grant ROLE=" in refused.stderr
        assert "There is no topic" not in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_topic_that_is_not_there_is_told_as_such(granted, acting, secure_database):
    elsewhere = acting("admin", "nowhere.", database_url=secure_database)
    for command in (("tail", "failures"), ("dlq", "ls")):
        missing = stumble(elsewhere, *command)
        assert missing.returncode == 1
        assert "There is no topic nowhere." in missing.stderr
        assert "TOPIC_PREFIX" in missing.stderr


def test_check_tells_what_this_connection_may_do_and_which_role_lacks_what(granted, acting, told, secure_kafka):
    environment = acting("operator", PREFIX, STUMBLE_KAFKA__PRINCIPALS=principals())
    status, text = told(environment, "check", "rights", "topics", "take-over", "clocks", "--json")
    assert status == 0, text
    found = findings(text)
    assert "operator" in found["rights", "fine", "this connection"]
    assert {("rights", "fine", role) for role in ROLES} <= found.keys()
    assert "6 s (classic protocol" in found["take-over", "fine", "projectors"]
    assert "within" in found["clocks", "fine", "broker"]

    plain = AdminClient({"bootstrap.servers": secure_kafka.server.bootstrap_servers})
    topic = "sec.instance-action-outcomes"
    gone = AclBindingFilter(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:alerter", None, AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    for future in plain.delete_acls([gone]).values():
        future.result(30)
    deadline = time.monotonic() + 90
    while told(environment, "check", "rights")[0] == 0:  # the broker takes its time to forget
        assert time.monotonic() < deadline
    status, text = told(environment, "check", "rights", "--json")
    assert f"User:alerter lacks WRITE TOPIC {topic}" in findings(text)["rights", "wrong", "alerter"]
    status, text = told(environment, "topics", "plan", "--partitions", "3", "--format", "json")
    assert (status, json.loads(text)["lacking"]) == (1, [["alerter", f"WRITE TOPIC {topic}"]])
    status, text = told(acting("alerter", PREFIX), "check", "rights", "topics", "--json")
    found = findings(text)
    assert (status, ("rights", "wrong", "this connection") in found) == (1, True)
    assert ("topics", "skipped", "sec.instance-actions") in found
    stack.once([*stack.CLI, "topics", "apply"], acting("admin", PREFIX, STUMBLE_KAFKA__PRINCIPALS=principals()))


def test_certificates_are_verified(granted, acting, told, secure_database, tmp_path):
    environment = acting("relay", PREFIX, database_url=secure_database)
    options = json.loads(environment["STUMBLE_KAFKA__OPTIONS"])
    status, text = told(environment, "check", "brokers", "database", "--json")
    found = findings(text)
    assert any(name == "brokers" and "by SASL_SSL" in says for (name, _, _), says in found.items())
    assert any(name == "database" and "PostgreSQL 1" in says and "TLS" in says for (name, _, _), says in found.items())
    del options["ssl.ca.location"]
    for wrong, words in (
        (options, "ssl.ca.location in STUMBLE_KAFKA__OPTIONS"),
        ({**options, "enable.ssl.certificate.verification": False, "sasl.username": "cook"}, "check sasl.username"),
        ({"security.protocol": "plaintext"}, "security.protocol"),
        ({"security.protocl": "plaintext"}, "correct the name"),
    ):
        broken = {"STUMBLE_KAFKA__OPTIONS": json.dumps(wrong)}
        status, text = told(environment | broken, "check", "brokers", "--json")
        assert status == 1
        assert words in next(iter(findings(text).values()))
    (tmp_path / "database_url").write_text(re.sub(r"&sslrootcert=.*", "&sslrootcert=system", secure_database))
    status, text = told({"STUMBLE_SECRETS_DIR": str(tmp_path)}, "check", "database", "--json")
    assert (status, "certificate verify failed" in text) == (1, True)
    assert "canary-" not in text


#: What is wrong at once, before anything is connected to.
WRONG = (
    (["check", "brokers"], {"STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1", "x": 1}'}),
    (["topics", "apply"], {"STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1", "x": 1}'}),
    (["check"], {"STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1"'}),
    (["relay"], {"STUMBLE_KAFKA": '["canary-1"]'}),
    (["store", "migrate"], {"STUMBLE_DATABASE_URL": "user=stumble password=canary-2 sslmod=canary-2 host"}),
    (["check", "database"], {"STUMBLE_DATABASE_URL": "user=stumble password=canary-2 sslmod=canary-2 host"}),
    (["bridge"], {"STUMBLE_CONFIG": '[[bridge.transports]]\nname = "a"\nurl = "rabit://u:canary-5@h/"\n'}),
    (["bridge"], {"STUMBLE_CONFIG": '[kafka.options]\n"sasl.password" = "canary-1\n'}),
)
#: Whom nobody answers, with secrets everywhere.
UNANSWERED = {
    "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "STUMBLE_KAFKA__OPTIONS": '{"sasl.password": "canary-1", "sasl.username": "u", "sasl.mechanism": "PLAIN"}',
    "STUMBLE_DATABASE_URL": "postgresql://stumble:canary-2@127.0.0.1:9/stumble",
    "STUMBLE_KAFKA__SCHEMA_REGISTRY_URL": "http://user:canary-3@127.0.0.1:9/",
    "STUMBLE_ALERTS_ALERTMANAGERS": "http://user:canary-4@127.0.0.1:9/",
    "STUMBLE_DEBUG": "1",
    "STUMBLE_LOG_LEVEL": "DEBUG",
}


@pytest.mark.parametrize(("words", "settings"), WRONG, ids="-".join)
def test_secrets_get_into_no_error(words, settings, told, tmp_path):
    if "STUMBLE_CONFIG" in settings:
        (tmp_path / "config.toml").write_text(settings["STUMBLE_CONFIG"])
        settings = {"STUMBLE_CONFIG": str(tmp_path / "config.toml")}
    status, text = told({"STUMBLE_DEBUG": "1", "COLUMNS": "300", **settings}, *words)
    assert status == 1
    assert text
    assert "canary" not in text


def test_secrets_get_into_no_log(tmp_path):
    (tmp_path / "bridge.toml").write_text(
        '[[bridge.transports]]\nname = "a"\nurl = "rabbit://u:canary-5@127.0.0.1:9/"\n'
        '[[bridge.transports]]\nname = "b"\nurl = "rabbit://u:canary-5@127.0.0.1:port/"\n'
    )
    base = UNANSWERED | {
        "STUMBLE_OUTBOX_DIR": str(tmp_path / "outbox"),
        "STUMBLE_STATE_DIR": str(tmp_path),
        "STUMBLE_CONFIG": str(tmp_path / "bridge.toml"),
    }
    lasting = ["relay", "projector", "alerter", "api", "bridge"]
    logs = {name: tmp_path / f"{name}.log" for name in ["check", *lasting]}
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


def test_roles_need_no_more_than_is_listed():
    wanted = {(item.role, item.text) for item in grants(KafkaSettings())}
    assert {text for role, text in wanted if role == "relay"} == {
        "WRITE TOPIC instance-actions",
        "WRITE TOPIC instance-action-producers",
    }
    assert not [text for role, text in wanted if role in {"subscriber", "auditor"} and not text.startswith("READ")]
