"""The topic plan against a real broker: made, compared, mended, guarded."""

import json
import subprocess
import sys

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from stumble.consumers import topics
from stumble.deploy.local.kafka import LocalKafka
from stumble.schemas.models.kafka import KafkaSettings
from tests.support.services import cli_environment


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    server = LocalKafka(tmp_path_factory.mktemp("kafka"), heap="256m", settings=settings)
    try:
        server.start()
        yield server.bootstrap_servers
    finally:
        server.stop()


def stumble(broker, *arguments):
    environment = cli_environment(STUMBLE_KAFKA__BOOTSTRAP_SERVERS=broker, COLUMNS="200")
    command = [sys.executable, "-m", "stumble.deploy.cli", "topics", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_topics_are_planned_made_mended_and_guarded(broker):
    before = stumble(broker, "plan", "--partitions", "3")
    assert before.returncode == 1
    assert before.stdout.count("missing") == 5
    made = stumble(broker, "apply", "--partitions", "3", "--grant", "relay=User:relay-1")
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("created") == 5
    assert "User:relay-1 may WRITE TOPIC instance-actions" in made.stdout
    assert stumble(broker, "plan", "--partitions", "3").returncode == 0

    client = AdminClient({"bootstrap.servers": broker})
    short = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, "instance-actions", incremental_configs=[short])
    client.incremental_alter_configs([resource])[resource].result(30)
    found = json.loads(stumble(broker, "plan", "--format", "json").stdout)["topics"][0]
    assert found["verdict"] == "differs"
    assert found["differing"] == {"retention.ms": ["1000", str(90 * 86_400_000)]}
    assert "differs" in stumble(broker, "apply").stdout
    assert "retention.ms mended" in stumble(broker, "apply", "--partitions", "3", "--alter").stdout
    assert stumble(broker, "plan", "--partitions", "3").returncode == 0


def test_more_copies_ask_for_two_in_sync():
    kafka = KafkaSettings(topic_prefix="x.")
    assert {item.settings["min.insync.replicas"] for item in topics.plan(kafka, partitions=1, replication=3)} == {"2"}
    assert all(item.name.startswith("x.") for item in topics.plan(kafka, partitions=1, replication=1))


def test_wrong_roles_and_a_broker_that_is_away_are_one_sentence(broker):
    wrong = stumble(broker, "apply", "--grant", "cook=User:x")
    assert wrong.returncode == 2
    assert "alerter, auditor, operator, projector, relay, subscriber" in " ".join(
        wrong.stderr.replace("│", " ").split()
    )
