"""The topic plan: partitions, retention and clean-up of each topic, compared with the existing topics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    TopicDescription,
)

from stumble.deadletters.producer import MAX_MESSAGE_BYTES
from stumble.provision.acls import admin_client
from stumble.settings.kafka import KafkaSettings
from stumble.wire.errors import StumbleError
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME, EVENT, PRODUCER_STATUS, Schema

_DAY_MS = 86_400_000
_SECONDS = 15.0
#: With this many replicas one broker may be down and writes still reach two.
_COPIES_FOR_TWO_IN_SYNC = 3
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic as planned."""

    name: str
    partitions: int
    replication: int
    settings: dict[str, str]
    purpose: str


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """One existing topic and its plan; `partitions` is None if the topic is missing."""

    plan: TopicPlan
    partitions: int | None = None
    replication: int | None = None
    #: Setting to (current value, planned value).
    differing: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    #: What this principal may not read: ``topic`` (all of it) or ``settings``.
    hidden: str | None = None
    #: As the broker describes it, with leaders and replicas.
    described: TopicDescription | None = None

    @property
    def state(self) -> str:
        """The difference in one or two words."""
        if self.hidden:
            return f"{self.hidden} not shown"
        if self.partitions is None:
            return "missing"
        if self.differing:
            return "differs"
        return "fewer partitions" if self.partitions < self.plan.partitions else "fine"


def plan_topics(
    kafka: KafkaSettings, *, partitions: int | None = None, replication: int | None = None
) -> list[TopicPlan]:
    """Return the plan of all topics; what isn't given comes from the settings."""
    topics = kafka.topics
    partitions, replication = partitions or kafka.topic_partitions, replication or kafka.topic_replication
    in_sync = "2" if replication >= _COPIES_FOR_TWO_IN_SYNC else "1"
    always = {"min.insync.replicas": in_sync, "unclean.leader.election.enable": "false"}
    month = {**always, "cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)}
    # The broker's own time bounds the times that events and reports claim, and shows whose clock is wrong.
    append_time = {"message.timestamp.type": "LogAppendTime"}
    truth = {**month, **append_time, "retention.ms": str(kafka.topic_days * _DAY_MS)}
    compacted = {**always, **append_time, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
    # A bad record and the headers that explain it are larger than the record was.
    dead_letters = {**month, "retention.ms": str(90 * _DAY_MS), "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    return [
        TopicPlan(topics.actions, partitions, replication, truth, "events; the store can be rebuilt from them"),
        TopicPlan(topics.failures, partitions, replication, month, "failures and their corrections"),
        TopicPlan(topics.outcomes, partitions, replication, month, "outcomes and their corrections"),
        TopicPlan(topics.producers, 1, replication, compacted, "the last report of every producer"),
        TopicPlan(topics.dlq, 1, replication, dead_letters, "records that cannot be processed"),
    ]


def value_schemas(kafka: KafkaSettings) -> dict[str, Schema]:
    """Return which schema each topic's values have."""
    topics = kafka.topics
    return {
        topics.actions: EVENT,
        topics.producers: PRODUCER_STATUS,
        topics.failures: ACTION_FAILED,
        topics.outcomes: ACTION_OUTCOME,
    }


def compare(kafka: KafkaSettings, plans: list[TopicPlan]) -> list[TopicDifference]:
    """Compare the broker's topics with their plans. Raises `StumbleError` when the broker doesn't answer."""
    client = admin_client(kafka)
    try:
        wanted = TopicCollection([item.name for item in plans])
        futures = client.describe_topics(wanted, request_timeout=_SECONDS)
        existing = {name: _answer(future) for name, future in futures.items()}
        known = [ConfigResource(ConfigResource.Type.TOPIC, name) for name, entry in existing.items() if _seen(entry)]
        answers = client.describe_configs(known, request_timeout=_SECONDS) if known else {}
        settings = {resource.name: _answer(future) for resource, future in answers.items()}
    except KafkaException as error:
        raise _unreachable(error) from None
    return [_finding(item, existing[item.name], settings.get(item.name)) for item in plans]


def _answer(future: Any) -> Any:
    """Return what a future gives, or the `KafkaError` for a topic that is missing or hidden; raises the others."""
    try:
        return future.result(_SECONDS)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, *_DENIED):
            return error.args[0]
        raise


def _seen(result: Any) -> bool:
    return not isinstance(result, KafkaError)


def apply_plans(kafka: KafkaSettings, plans: list[TopicPlan], *, alter: bool = False) -> Iterator[tuple[str, str]]:
    """Create the missing topics and, with `alter`, change differing settings; yields each topic's name and the result.

    Raises `StumbleError` when the broker refuses or doesn't answer.
    """
    client = admin_client(kafka)
    for finding in compare(kafka, plans):
        name = finding.plan.name
        if finding.state == "missing":
            yield name, _create(client, finding.plan)
        elif finding.differing and alter:
            _alter(client, finding)
            yield name, f"{', '.join(finding.differing)} changed"
        else:
            yield name, "exists" if finding.state == "fine" else f"exists, {finding.state}: see `topics plan`"


def _finding(item: TopicPlan, there: Any, settings: Any) -> TopicDifference:
    if not _seen(there):
        return TopicDifference(item, hidden="topic" if there.code() in _DENIED else None)
    copies = min((len(partition.replicas) for partition in there.partitions), default=0)
    if not _seen(settings):
        return TopicDifference(item, len(there.partitions), copies, hidden="settings", described=there)
    values = {name: entry.value for name, entry in settings.items()}
    differing = {
        name: (values.get(name), wanted) for name, wanted in item.settings.items() if values.get(name) != wanted
    }
    return TopicDifference(item, len(there.partitions), copies, differing, described=there)


def _create(client: AdminClient, item: TopicPlan) -> str:
    topic = NewTopic(item.name, item.partitions, item.replication, config=item.settings)
    try:
        client.create_topics([topic], request_timeout=_SECONDS)[item.name].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return "exists"
        raise StumbleError(
            f"The topic {item.name} cannot be created: {error.args[0].str()}; "
            "check STUMBLE_KAFKA__BOOTSTRAP_SERVERS and that the broker allows it.",
        ) from error
    _wait_until_known(client, item.name)
    return "created"


def _wait_until_known(client: AdminClient, name: str) -> None:
    """Wait until the broker that answers requests knows the topic too; until then the next client would miss it."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        future = client.describe_topics(TopicCollection([name]), request_timeout=_SECONDS)[name]
        if _seen(_answer(future)):
            return
        time.sleep(0.05)


def _alter(client: AdminClient, finding: TopicDifference) -> None:
    entries = [
        ConfigEntry(name, wanted, incremental_operation=AlterConfigOpType.SET)
        for name, (_, wanted) in finding.differing.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, finding.plan.name, incremental_configs=entries)
    try:
        for future in client.incremental_alter_configs([resource]).values():
            future.result(_SECONDS)
    except KafkaException as error:
        raise StumbleError(f"The settings of {finding.plan.name} cannot be changed: {error.args[0].str()}.") from error


def _unreachable(error: KafkaException) -> StumbleError:
    reason = error.args[0].str()
    return StumbleError(f"Kafka does not answer ({reason}): check STUMBLE_KAFKA__BOOTSTRAP_SERVERS, or start it.")
