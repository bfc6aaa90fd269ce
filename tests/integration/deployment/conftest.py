"""A secured stack: Kafka with TLS, passwords and an authorizer, PostgreSQL with TLS."""

import json
import subprocess
import sys

import pytest

from stumble.cli.root import run
from tests.support.secure import Authority, SecureKafka, SecurePostgres
from tests.support.services import cli_environment

ROLES = ("relay", "projector", "alerter", "subscriber", "auditor", "operator")


def pytest_collection_modifyitems(items):
    """Send all tests of the secured servers to one worker, so that the servers start once."""
    for item in items:
        if {"secure_kafka", "secure_database"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("secured"))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory, authority):
    kafka = SecureKafka(tmp_path_factory.mktemp("secure-kafka"), authority, list(ROLES))
    try:
        kafka.server.start()
        yield kafka
    finally:
        kafka.server.stop()


@pytest.fixture(scope="session")
def secure_database(tmp_path_factory, authority):
    """URL of an empty database with TLS and verification of its certificate."""
    server = SecurePostgres(tmp_path_factory.mktemp("secure-postgres"), authority)
    try:
        yield f"{server.start()}?sslmode=verify-full&sslrootcert={authority.ca}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def environment_of(secure_kafka, tmp_path_factory):
    """Return a function that returns the environment of a role, with its password in a folder of secrets."""

    def environment(user, prefix="", **more):
        secrets = tmp_path_factory.mktemp("secrets", numbered=True)
        (secrets / "kafka__options__sasl.password").write_text(secure_kafka.passwords[user] + "\n")
        for name in [name for name in more if name.islower()]:
            (secrets / name).write_text(more.pop(name))
        for path in secrets.iterdir():
            path.chmod(0o600)
        return cli_environment(
            STUMBLE_KAFKA__BOOTSTRAP_SERVERS=secure_kafka.bootstrap_servers,
            STUMBLE_KAFKA__TOPIC_PREFIX=prefix,
            STUMBLE_KAFKA__OPTIONS=json.dumps(secure_kafka.options(user)),
            STUMBLE_SECRETS_DIR=str(secrets),
            COLUMNS="300",
            **more,
        )

    return environment


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Return a function that runs a command in this process; it returns exit status and output."""

    def run_in_process(environment, *words):
        for name, value in environment.items():
            if name.startswith("STUMBLE_") or name == "COLUMNS":
                monkeypatch.setenv(name, value)
        status = run(words)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run_in_process


def stumble(environment, *arguments, timeout=180):
    command = [sys.executable, "-m", "stumble.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=timeout)
