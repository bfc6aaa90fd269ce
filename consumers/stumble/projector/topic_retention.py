"""How long Kafka keeps the records of a topic, by the topic's own configuration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource

from stumble.kafka.consumer import quiet_config

if TYPE_CHECKING:
    from stumble.settings.kafka import KafkaSettings

_SECONDS = 5.0


class TopicRetention:
    """Reads `retention.ms` of one topic; needs the right DESCRIBE_CONFIGS on it."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._admin = AdminClient(quiet_config(kafka.client_config()))
        self._resource = ConfigResource(ConfigResource.Type.TOPIC, topic)

    def seconds(self) -> float | None:
        """Return the retention, infinity if it has no limit; None if the broker does not tell."""
        try:
            answers = self._admin.describe_configs([self._resource], request_timeout=_SECONDS)
            milliseconds = int(answers[self._resource].result(_SECONDS)["retention.ms"].value)
        except (KafkaException, TimeoutError):
            return None
        return milliseconds / 1000 if milliseconds >= 0 else math.inf
