"""Dead letters of a testbed, read with the command and from the topic."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from tests.support.command import stumble
from tests.support.projection import ProjectorTestbed


def run_dlq(testbed: ProjectorTestbed, *words: str, status: int = 0) -> str:
    """Run `stumble dlq`; returns its output."""
    result = stumble("dlq", *words, **testbed.environment())
    assert result.returncode == status, result.stderr + result.stdout
    return result.stdout


def records(testbed: ProjectorTestbed, topic: str) -> list:
    """Return all records of a topic."""
    consumer = Consumer({"bootstrap.servers": testbed.kafka, "group.id": "test-records", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages, ended = [], 0
    while ended < len(partitions):
        message = consumer.poll(60)
        assert message is not None
        if message.error() is None:
            messages.append(message)
        else:
            ended += 1
    consumer.close()
    return messages
