"""Dead letters of a world, by the command and from the topic."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from tests.support.command import stumble
from tests.support.projection import World


def told(world: World, *words: str, status: int = 0) -> str:
    """Return what `stumble dlq` prints."""
    done = stumble("dlq", *words, **world.environment())
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout


def records(world: World, topic: str) -> list:
    """Everything that lies in a topic."""
    consumer = Consumer({"bootstrap.servers": world.kafka, "group.id": "look", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found, ended = [], 0
    while ended < len(partitions):
        message = consumer.poll(60)
        assert message is not None
        if message.error() is None:
            found.append(message)
        else:
            ended += 1
    consumer.close()
    return found
