"""The topic plan: each topic with partitions, retention and clean-up that fit its use, and who may do what with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from stumble.consumers.dlq import MAX_MESSAGE_BYTES
from stumble.consumers.projector.settings import ProjectorSettings
from stumble.schemas.models.kafka import KafkaSettings
from stumble.schemas.wire.errors import StumbleError

_DAY_MS = 86_400_000
_SECONDS = 15.0
#: With so many copies one broker may be down and writes still reach two.
_COPIES_FOR_TWO_IN_SYNC = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """One topic as it should be."""

    name: str
    partitions: int
    replication: int
    settings: dict[str, str]
    purpose: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic as it is beside its plan; `partitions` is None where it is missing."""

    plan: Plan
    partitions: int | None = None
    replication: int | None = None
    #: Setting to (value there, value planned).
    differing: dict[str, tuple[str | None, str]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Say in a word what is to be done."""
        if self.partitions is None:
            return "missing"
        if self.differing:
            return "differs"
        return "fewer partitions" if self.partitions < self.plan.partitions else "fine"


class Grant(NamedTuple):
    """What one role may do."""

    role: str
    operation: AclOperation
    kind: ResourceType
    name: str

    def binding(self, principal: str) -> AclBinding:
        """Return the grant for a principal (``User:…``), from any host."""
        allow = AclPermissionType.ALLOW
        return AclBinding(self.kind, self.name, ResourcePatternType.LITERAL, principal, "*", self.operation, allow)


def plan(kafka: KafkaSettings, *, partitions: int, replication: int) -> list[Plan]:
    """Return all topics as they should be."""
    topics = kafka.topics
    in_sync = "2" if replication >= _COPIES_FOR_TWO_IN_SYNC else "1"
    always = {"min.insync.replicas": in_sync, "unclean.leader.election.enable": "false"}
    month = {**always, "cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)}
    quarter = {**month, "retention.ms": str(90 * _DAY_MS)}
    compacted = {**always, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
    # A bad record and the headers that explain it are larger than the record was.
    letters = {**quarter, "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    return [
        Plan(topics.actions, partitions, replication, quarter, "events; what the store can be rebuilt from"),
        Plan(topics.failures, partitions, replication, month, "failures and their corrections"),
        Plan(topics.outcomes, partitions, replication, month, "outcomes and their corrections"),
        Plan(topics.producers, 1, replication, compacted, "the last word of every producer"),
        Plan(topics.dlq, 1, replication, letters, "records that can't be taken in"),
    ]


def grants(kafka: KafkaSettings) -> list[Grant]:
    """Return what each role needs, and no more."""
    topics, write, read = kafka.topics, AclOperation.WRITE, AclOperation.READ
    wanted = {
        "relay": [(write, topics.actions), (write, topics.producers)],
        "projector": [(read, topics.actions), (read, topics.producers), (write, topics.dlq)],
        "alerter": [(write, topics.failures), (write, topics.outcomes)],
        "subscriber": [(read, topics.failures), (read, topics.outcomes)],
        "auditor": [(read, name) for name in (topics.actions, topics.failures, topics.outcomes, topics.dlq)],
    }
    found = [
        Grant(role, operation, ResourceType.TOPIC, name) for role, pairs in wanted.items() for operation, name in pairs
    ]
    group = ProjectorSettings().group
    found.append(Grant("projector", read, ResourceType.GROUP, group))
    found.append(Grant("projector", read, ResourceType.GROUP, f"{group}-producers"))
    return found


def compare(kafka: KafkaSettings, plans: list[Plan]) -> list[Finding]:
    """Compare the broker's topics with their plans. Raises `StumbleError` when the broker doesn't answer."""
    client = _admin(kafka)
    try:
        there = client.list_topics(timeout=_SECONDS).topics
        known = [item.name for item in plans if item.name in there]
        wanted = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in known]
        answers = client.describe_configs(wanted) if wanted else {}
        settings = {resource.name: future.result(_SECONDS) for resource, future in answers.items()}
    except KafkaException as error:
        raise _unreachable(error) from error
    return [_finding(item, there.get(item.name), settings.get(item.name, {})) for item in plans]


def apply(kafka: KafkaSettings, plans: list[Plan], *, alter: bool = False) -> Iterator[tuple[str, str]]:
    """Create the missing topics and, with `alter`, mend settings; yields each topic's name and what became of it.

    Raises `StumbleError` when the broker refuses or doesn't answer.
    """
    client = _admin(kafka)
    for finding in compare(kafka, plans):
        name = finding.plan.name
        if finding.verdict == "missing":
            yield name, _create(client, finding.plan)
        elif finding.differing and alter:
            _alter(client, finding)
            yield name, f"{', '.join(finding.differing)} mended"
        else:
            yield name, "is there" if finding.verdict == "fine" else f"is there, {finding.verdict}: see `topics plan`"


def grant(kafka: KafkaSettings, principals: Mapping[str, str]) -> Iterator[str]:
    """Give each role's principal (``User:…``) what it needs; yields a line each. Raises `StumbleError`."""
    client = _admin(kafka)
    wanted = [item for item in grants(kafka) if item.role in principals]
    futures = client.create_acls([item.binding(principals[item.role]) for item in wanted], request_timeout=_SECONDS)
    for item, future in zip(wanted, futures.values(), strict=True):
        try:
            future.result()
        except KafkaException as error:
            raise StumbleError(f"The broker does not take access rules: {error.args[0].str()}.") from error
        yield f"{principals[item.role]} may {item.operation.name} {item.kind.name} {item.name}"


def _admin(kafka: KafkaSettings) -> AdminClient:
    # librdkafka writes to stderr by itself; what matters comes as an error.
    return AdminClient({**kafka.client_config(), "log_level": 0})


def _finding(item: Plan, there: Any, settings: Mapping[str, Any]) -> Finding:
    if there is None:
        return Finding(item)
    values = {name: entry.value for name, entry in settings.items()}
    differing = {
        name: (values.get(name), wanted) for name, wanted in item.settings.items() if values.get(name) != wanted
    }
    copies = min((len(partition.replicas) for partition in there.partitions.values()), default=0)
    return Finding(item, len(there.partitions), copies, differing)


def _create(client: AdminClient, item: Plan) -> str:
    topic = NewTopic(item.name, item.partitions, item.replication, config=item.settings)
    try:
        client.create_topics([topic], request_timeout=_SECONDS)[item.name].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return "is there"
        raise StumbleError(
            f"The topic {item.name} can't be created: {error.args[0].str()}; "
            "check STUMBLE_KAFKA__BOOTSTRAP_SERVERS and that the broker allows it.",
        ) from error
    return "created"


def _alter(client: AdminClient, finding: Finding) -> None:
    entries = [
        ConfigEntry(name, wanted, incremental_operation=AlterConfigOpType.SET)
        for name, (_, wanted) in finding.differing.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, finding.plan.name, incremental_configs=entries)
    try:
        for future in client.incremental_alter_configs([resource]).values():
            future.result(_SECONDS)
    except KafkaException as error:
        raise StumbleError(f"The settings of {finding.plan.name} can't be changed: {error.args[0].str()}.") from error


def _unreachable(error: KafkaException) -> StumbleError:
    said = error.args[0].str()
    return StumbleError(f"Kafka does not answer ({said}): check STUMBLE_KAFKA__BOOTSTRAP_SERVERS, or start it.")
