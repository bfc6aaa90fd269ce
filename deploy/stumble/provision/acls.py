"""Access rules on Kafka: what each role needs, what its principal was granted, what this connection may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from stumble.projector.settings import ProjectorSettings
from stumble.settings.kafka import KafkaSettings
from stumble.wire.errors import StumbleError

_SECONDS = 10.0
_EVERYBODY = "User:*"
#: Matches any principal and host (the type stubs allow only strings).
_ANY: Any = None
#: Group names of commands that read without joining a group: librdkafka requests the coordinator nevertheless.
_READING = {
    "subscriber": ("stumble-tail",),
    "auditor": ("stumble-tail", "stumble-audit"),
    "operator": ("stumble-tail", "stumble-audit", "stumble-dlq", "stumble-offsets"),
}
#: Operations that imply a right (Kafka, "Authorization and ACLs").
_IMPLIED_BY = {
    AclOperation.DESCRIBE: {AclOperation.READ, AclOperation.WRITE, AclOperation.ALTER, AclOperation.DELETE},
    AclOperation.DESCRIBE_CONFIGS: {AclOperation.ALTER_CONFIGS},
}


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

    @property
    def text(self) -> str:
        """Operation, type and name of the resource."""
        return f"{self.operation.name} {self.kind.name} {self.name}"


class AclsNotVisible(StumbleError):
    """The principal may not read the access rules."""


def required_grants(kafka: KafkaSettings) -> list[Grant]:
    """Return what each role needs, and no more."""
    topics, write, read = kafka.topics, AclOperation.WRITE, AclOperation.READ
    every = (topics.actions, topics.failures, topics.outcomes, topics.producers, topics.dlq)
    group = ProjectorSettings().group
    wanted: dict[str, list[tuple[AclOperation, str]]] = {
        "relay": [(write, topics.actions), (write, topics.producers)],
        "projector": [
            (read, topics.actions),
            (AclOperation.DESCRIBE_CONFIGS, topics.actions),  # its retention
            (read, topics.producers),
            (write, topics.dlq),
            (read, topics.dlq),  # its newest records, after a start
        ],
        "alerter": [(write, topics.failures), (write, topics.outcomes)],
        "subscriber": [(read, topics.failures), (read, topics.outcomes)],
        "auditor": [(read, name) for name in (topics.actions, topics.failures, topics.outcomes, topics.dlq)],
        # For the commands tail, dlq redrive, topics apply and check.
        "operator": [
            *((read, name) for name in every),
            *((write, name) for name in (topics.actions, topics.producers, topics.dlq)),
            *((operation, name) for name in every for operation in (AclOperation.CREATE, AclOperation.ALTER_CONFIGS)),
        ],
    }
    result = [Grant(role, what, ResourceType.TOPIC, name) for role, pairs in wanted.items() for what, name in pairs]
    members = {"projector": (group, f"{group}-producers"), **_READING, "operator": (group, *_READING["operator"])}
    result += [Grant(role, read, ResourceType.GROUP, name) for role, names in members.items() for name in names]
    result += [
        Grant("operator", operation, ResourceType.BROKER, "kafka-cluster")
        for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    ]
    return result


def grant(kafka: KafkaSettings, principals: Mapping[str, str]) -> Iterator[str]:
    """Grant each role's principal (``User:…``) what it needs; yields a line for each grant. Raises `StumbleError`."""
    client = admin_client(kafka)
    wanted = [item for item in required_grants(kafka) if item.role in principals]
    futures = client.create_acls([item.binding(principals[item.role]) for item in wanted], request_timeout=_SECONDS)
    for item, future in zip(wanted, futures.values(), strict=True):
        try:
            future.result()
        except KafkaException as error:
            raise StumbleError(f"The broker does not accept access rules: {error.args[0].str()}.") from None
        yield f"{principals[item.role]} may {item.text}"


def granted(kafka: KafkaSettings) -> list[AclBinding] | None:
    """Return the access rules on what the roles need, None where no authorizer is on.

    Raises `AclsNotVisible` if this principal may not read them, `StumbleError` if Kafka doesn't answer.
    """
    client = admin_client(kafka)
    if not _authorizer_is_on(client):
        return None
    cluster = client.describe_cluster(include_authorized_operations=True, request_timeout=_SECONDS)
    if AclOperation.DESCRIBE not in (_operations(cluster) or ()):  # some brokers then answer with an empty list
        raise AclsNotVisible("This principal may not read the access rules (DESCRIBE on the cluster).")
    result: list[AclBinding] = []
    for kind, name in sorted({(item.kind, item.name) for item in required_grants(kafka)}, key=str):
        anything = AclBindingFilter(
            kind, name, ResourcePatternType.MATCH, _ANY, _ANY, AclOperation.ANY, AclPermissionType.ANY
        )
        try:
            result += client.describe_acls(anything, request_timeout=_SECONDS).result()
        except KafkaException as error:
            raise StumbleError(f"Kafka does not return its access rules: {error.args[0].str()}.") from None
    return result


def lacking(wanted: list[Grant], principal: str, rules: list[AclBinding]) -> list[Grant]:
    """Return what a principal was not granted, or was denied."""
    rules_of_principal = [rule for rule in rules if rule.principal in (principal, _EVERYBODY)]
    return [item for item in wanted if not _allowed(item, rules_of_principal)]


def missing_rights(kafka: KafkaSettings) -> dict[str, list[Grant]]:
    """Return, by role, what the role needs and this connection may not do.

    Kafka itself decides, so super users and rules by pattern are included. Missing topics count as allowed.
    Raises `StumbleError` if Kafka doesn't answer.
    """
    client, wanted = admin_client(kafka), required_grants(kafka)
    topics = sorted({item.name for item in wanted if item.kind == ResourceType.TOPIC})
    groups = sorted({item.name for item in wanted if item.kind == ResourceType.GROUP})
    answers: dict[tuple[ResourceType, str], Any] = {}
    described = client.describe_topics(
        TopicCollection(topics), include_authorized_operations=True, request_timeout=_SECONDS
    )
    answers |= {(ResourceType.TOPIC, name): future for name, future in described.items()}
    members = client.describe_consumer_groups(groups, include_authorized_operations=True, request_timeout=_SECONDS)
    answers |= {(ResourceType.GROUP, name): future for name, future in members.items()}
    cluster = client.describe_cluster(include_authorized_operations=True, request_timeout=_SECONDS)
    answers[ResourceType.BROKER, "kafka-cluster"] = cluster
    may = {resource: _operations(future) for resource, future in answers.items()}
    missing: dict[str, list[Grant]] = {item.role: [] for item in wanted}
    for item in wanted:
        operations = may[item.kind, item.name]
        if operations is not None and item.operation not in operations:
            missing[item.role].append(item)
    return missing


def admin_client(kafka: KafkaSettings) -> AdminClient:
    """Return a client that logs nothing: its requests raise errors."""
    return AdminClient({**kafka.client_config(), "log_level": 0})


def _authorizer_is_on(client: AdminClient) -> bool:
    """Read it from a broker's settings: librdkafka reports SECURITY_DISABLED as an empty list of rules."""
    broker = str(min(client.list_topics(timeout=_SECONDS).brokers))
    resource = ConfigResource(ConfigResource.Type.BROKER, broker)
    try:
        settings = client.describe_configs([resource], request_timeout=_SECONDS)[resource].result(_SECONDS)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return True
        raise StumbleError(f"Kafka does not return its settings: {error.args[0].str()}.") from None
    return bool(settings["authorizer.class.name"].value)


def _operations(future: Any) -> set[AclOperation] | None:
    try:
        return set(future.result(_SECONDS).authorized_operations or ())
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        if "AUTHORIZATION_FAILED" in error.args[0].name():
            return set()
        raise StumbleError(f"Kafka does not return the rights of this connection: {error.args[0].str()}.") from None


def _allowed(item: Grant, rules: list[AclBinding]) -> bool:
    enough = {item.operation, AclOperation.ALL, *_IMPLIED_BY.get(item.operation, ())}
    fitting = [rule for rule in rules if rule.restype == item.kind and _covers(rule, item.name)]
    denied = {item.operation, AclOperation.ALL}
    if any(rule.permission_type == AclPermissionType.DENY and rule.operation in denied for rule in fitting):
        return False
    return any(rule.permission_type == AclPermissionType.ALLOW and rule.operation in enough for rule in fitting)


def _covers(rule: AclBinding, name: str) -> bool:
    if rule.resource_pattern_type == ResourcePatternType.PREFIXED:
        return name.startswith(rule.name)
    return rule.name in (name, "*")
