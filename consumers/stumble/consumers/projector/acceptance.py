"""Going on where records were lost: a deliberate act of a person, never the projector's own idea."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from stumble.consumers.projector.source import quiet
from stumble.consumers.store.connect import connect
from stumble.consumers.store.queries import query
from stumble.schemas.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stumble.schemas.models.settings import Settings

_SECONDS = 15.0


def accept_loss(settings: Settings, partitions: set[int], *, really: bool) -> Iterator[str]:
    """Yield a line per partition: where the store is and what the topic has.

    With `really` the store goes on at the oldest record of the topic wherever the next one is gone, in `partitions`
    or in all. Raises `StumbleError` when Kafka doesn't answer.
    """
    topic = settings.kafka.topics.actions
    consumer = Consumer(quiet(settings.kafka.consumer_config("stumble-offsets")))
    try:
        topic_id = _topic_id(settings, topic)
        with connect(settings.database_url.get_secret_value()) as connection:
            rows = connection.execute(query("all_offsets"), {"topic": topic}).fetchall()
            for partition, known_id, offset in rows:
                if partitions and partition not in partitions:
                    continue
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SECONDS)
                lost = known_id != topic_id or not low <= offset <= high
                if lost and really:
                    connection.execute(
                        query("reset_offsets"),
                        {"topic": topic, "topic_id": topic_id, "partitions": [partition], "offsets": [low]},
                    )
                yield _line(partition, offset, low, high, lost=lost, really=really)
    except KafkaException as error:
        raise StumbleError(f"Kafka can't say what {topic} holds: {error.args[0].str()}.") from error
    finally:
        consumer.close()


def _topic_id(settings: Settings, topic: str) -> str:
    client = AdminClient(quiet(settings.kafka.client_config()))  # it answers only while it is held
    answers = client.describe_topics(TopicCollection([topic]), request_timeout=_SECONDS)
    return str(answers[topic].result().topic_id)


def _line(partition: int, offset: int, low: int, high: int, *, lost: bool, really: bool) -> str:
    where = f"partition {partition}: the store comes to {offset}, the topic holds {low} to {high}"
    if not lost:
        return where
    return f"{where}; going on at {low}" if really else f"{where}: what comes next is lost (--accept-loss goes on)"
