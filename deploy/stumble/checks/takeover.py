"""Check how soon the failure of a projector or alerter is detected, so that another one continues its work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confluent_kafka import ConsumerGroupType

from stumble.alerts.lease import SECONDS as LEASE_SECONDS
from stumble.checks.kafka import SECONDS, Unanswered, WatchedClient, connect_cluster, settings_of_broker
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.kafka.consumer import consumer_config
from stumble.projector.settings import ProjectorSettings

__all__ = ["check_consumer_protocol", "check_takeover"]

_MOST_SECONDS = 10.0
#: Kafka's defaults (4.x), for a broker that does not show its settings.
_NEW_PROTOCOL_MS, _LEAST_CLASSIC_MS, _MOST_CLASSIC_MS = 45_000, 6_000, 1_800_000


def check_takeover(scope: CheckContext) -> Iterator[CheckResult]:
    """Compare the client's protocol and session time-out with what the broker allows."""
    kafka, group = scope.settings.kafka, ProjectorSettings().group
    config = consumer_config(kafka, group)
    watched = connect_cluster(kafka)
    broker: dict[str, str] = {}
    try:
        broker = settings_of_broker(watched)
    except Unanswered as error:
        yield skipped(
            "broker",
            f"cannot read its settings: {error}; the check assumes Kafka's defaults",
            "run the check as operator",
        )
    yield check_consumer_protocol(broker) if config.get("group.protocol") == "consumer" else _classic(config, broker)
    yield from _members(watched, group, kafka.topic_partitions)
    yield fine("alerters", f"the failure of one is detected after {LEASE_SECONDS:.0f} s (lease in the database)")


def _classic(config: dict[str, Any], broker: dict[str, str]) -> CheckResult:
    session = int(config["session.timeout.ms"])
    least = int(broker.get("group.min.session.timeout.ms", _LEAST_CLASSIC_MS))
    most = int(broker.get("group.max.session.timeout.ms", _MOST_CLASSIC_MS))
    says = f"classic protocol, session.timeout.ms {session}"
    if not least <= session <= most:
        todo = "change session.timeout.ms in STUMBLE_KAFKA__CONSUMER_OPTIONS, or the broker's bounds"
        return wrong(
            "projectors", f"{says}: the broker allows {least} to {most}, so no projector can join the group", todo
        )
    return _result(session / 1000, says, "lower session.timeout.ms in STUMBLE_KAFKA__CONSUMER_OPTIONS")


def check_consumer_protocol(broker: dict[str, str]) -> CheckResult:
    """Check a broker's settings for ``group.protocol=consumer`` (KIP-848): whether it is on, and the time-out."""
    protocols = broker.get("group.coordinator.rebalance.protocols", "classic,consumer").replace(" ", "").split(",")
    if "consumer" not in protocols:
        todo = 'remove "group.protocol" from STUMBLE_KAFKA__CONSUMER_OPTIONS, or upgrade the brokers'
        return wrong("projectors", "the broker does not support group.protocol=consumer", todo)
    session = int(broker.get("group.consumer.session.timeout.ms", _NEW_PROTOCOL_MS))
    says = f"group.protocol=consumer, the broker's group.consumer.session.timeout.ms {session}"
    todo = (
        "set consumer.session.timeout.ms of the group (kafka-configs.sh --entity-type groups; not below the "
        "broker's group.consumer.min.session.timeout.ms), or use the classic protocol"
    )
    return _result(session / 1000, says, todo)


def _result(seconds: float, says: str, todo: str) -> CheckResult:
    text = f"the failure of one is detected after {seconds:g} s ({says})"
    return fine("projectors", text) if seconds <= _MOST_SECONDS else warning("projectors", text, todo)


def _members(watched: WatchedClient, group: str, partitions: int) -> Iterator[CheckResult]:
    try:
        future = watched.client.describe_consumer_groups([group], request_timeout=SECONDS)[group]
        result = watched.ask(future.result)
    except Unanswered:
        return
    count = len(result.members)
    if not count:
        return
    kind = "consumer" if result.type == ConsumerGroupType.CONSUMER else "classic"
    if count == 1:
        yield warning(
            group,
            f"one member ({kind} protocol): no other continues its work when it fails",
            "start a second projector",
        )
    elif count > partitions:
        yield warning(group, f"{count} members for {partitions} partitions: some have nothing to do", "start fewer")
    else:
        yield fine(group, f"{count} members, {kind} protocol")
