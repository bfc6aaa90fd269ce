"""The topic plan with a real broker: create, compare, correct, grant; `stumble check topics` reports differences."""

import json
import time

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from stumble.provision import topics
from stumble.settings.kafka import KafkaSettings

PREFIX = "plan."
SETTINGS = {"STUMBLE_KAFKA__TOPIC_PREFIX": PREFIX, "STUMBLE_KAFKA__TOPIC_PARTITIONS": "3", "COLUMNS": "200"}


@pytest.fixture
def stumble(secure_kafka, run_command):
    """Return a function that runs a command as an administrator; it returns exit status and output."""
    environment = {**SETTINGS, "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": secure_kafka.server.bootstrap_servers}
    return lambda *words, **more: run_command(environment | more, *words)


@pytest.fixture
def change(secure_kafka):
    client = AdminClient({"bootstrap.servers": secure_kafka.server.bootstrap_servers})

    def set_to(topic, name, value):
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, PREFIX + topic, incremental_configs=[entry])
        client.incremental_alter_configs([resource])[resource].result(30)
        queried = ConfigResource(ConfigResource.Type.TOPIC, PREFIX + topic)
        eventually(lambda: client.describe_configs([queried])[queried].result(30)[name].value == value)

    return set_to


def eventually(check):
    """Wait until `check` is true: the broker learns of a change a little later than the controller."""
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_topics_are_planned_created_corrected_and_granted(stumble, change):
    status, text = stumble("topics", "plan")
    assert (status, text.count("missing")) == (1, 5)
    status, text = stumble("check", "topics")
    assert (status, text.count("there is no such topic"), text.count("→ stumble topics apply")) == (1, 5, 5)
    status, text = stumble("topics", "apply", "--grant", "relay=User:relay-1")
    assert (status, text.count("created")) == (0, 5)
    assert "User:relay-1 may WRITE TOPIC plan.instance-actions" in text
    assert stumble("topics", "plan")[0] == 0
    assert stumble("check", "topics")[0] == 0

    change("instance-actions", "retention.ms", "1000")
    topic = json.loads(stumble("topics", "plan", "--format", "json")[1])["topics"][0]
    assert topic["state"] == "differs"
    assert topic["differing"] == {"retention.ms": ["1000", str(90 * 86_400_000)]}
    assert "differs" in stumble("topics", "apply")[1]
    status, text = stumble("check", "topics")
    assert (status, "retention.ms is 1000" in text) == (0, True), "a warning"
    change("instance-actions", "message.timestamp.type", "CreateTime")
    status, text = stumble("check", "topics")
    assert (status, "message.timestamp.type is CreateTime, planned is LogAppendTime" in text) == (0, True)
    change("instance-action-producers", "cleanup.policy", "delete")
    change("instance-action-outcomes", "min.insync.replicas", "2")
    status, text = stumble("check", "topics")
    assert status == 1
    assert "cleanup.policy is delete, planned is compact" in text
    assert "min.insync.replicas is 2, planned is 1, and there are fewer replicas" in text
    assert "retention.ms, message.timestamp.type changed" in stumble("topics", "apply", "--alter")[1]
    eventually(lambda: stumble("topics", "plan")[0] == 0)

    status, text = stumble("topics", "plan", STUMBLE_KAFKA__TOPIC_PARTITIONS="5")
    assert (status, "fewer partitions" in text) == (1, True)
    assert "3 partitions, planned are 5" in stumble("check", "topics", STUMBLE_KAFKA__TOPIC_PARTITIONS="5")[1]
    status, text = stumble("check", "topics", "brokers", STUMBLE_KAFKA__TOPIC_REPLICATION="3")
    assert status == 1
    assert "1 replicas, planned are 3" in text
    assert "1 for 3 planned replicas" in text


def test_replication_of_three_sets_min_insync_replicas_to_two():
    kafka = KafkaSettings(topic_prefix="x.")
    assert {
        item.settings["min.insync.replicas"] for item in topics.plan_topics(kafka, partitions=1, replication=3)
    } == {"2"}
    assert all(item.name.startswith("x.") for item in topics.plan_topics(kafka, partitions=1, replication=1))


def test_unknown_role_is_rejected_with_the_list_of_roles(stumble):
    status, text = stumble("topics", "apply", "--grant", "cook=User:x")
    assert status == 2
    assert "alerter, auditor, operator, projector, relay, subscriber" in " ".join(text.replace("│", " ").split())
