"""Names of topics and subjects, and the record key, which puts all events of an instance into one partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Topics:
    """The topic names with one prefix."""

    prefix: str = ""

    @property
    def actions(self) -> str:
        """Events of producers: ``InstanceActionEvent``."""
        return f"{self.prefix}instance-actions"

    @property
    def dlq(self) -> str:
        """Records that the projector cannot read, bytes unchanged."""
        return f"{self.prefix}instance-actions.dlq"

    @property
    def failures(self) -> str:
        """Failures for downstream systems: ``ActionFailed``."""
        return f"{self.prefix}instance-action-failures"

    @property
    def outcomes(self) -> str:
        """Outcomes for downstream systems: ``ActionOutcome``."""
        return f"{self.prefix}instance-action-outcomes"

    @property
    def producers(self) -> str:
        """Latest status of each producer, compacted: ``ProducerStatus``."""
        return f"{self.prefix}instance-action-producers"


def subject(topic: str) -> str:
    """Return the registry subject of a topic's values (TopicNameStrategy)."""
    return f"{topic}-value"


def partition_key(event: Mapping[str, Any]) -> bytes:
    """Return an event's key: the instance uuid, else the request id, else the publisher."""
    result = event.get("instance_uuid") or event.get("request_id") or (event.get("source") or {}).get("publisher") or ""
    return str(result).encode("utf-8", "replace")
