"""Compare the topics with their plan: partitions, replicas, retention, clean-up, leaders, in-sync replicas."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.kafka import connect_cluster
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.provision import topics as planned

__all__ = ["check_topics"]

_AS_OPERATOR = "run the check as a principal that may describe it"
#: Settings that lose or block records when they differ, and how; the others are the operator's choice.
_MUST = {
    "cleanup.policy": "Kafka would delete or retain the wrong records",
    "unclean.leader.election.enable": "acknowledged events can be lost when a broker dies",
    "max.message.bytes": "Kafka refuses large records",
}
#: Settings that should not differ, and what happens where they do.
_MAY = {"message.timestamp.type": "the times of its writers bound nothing, so the time of reading bounds their claims"}


def check_topics(scope: CheckContext) -> Iterator[CheckResult]:
    """Compare the topics with `stumble topics plan`, and check leaders and replicas."""
    kafka = scope.settings.kafka
    connect_cluster(kafka)
    for item in planned.compare(kafka, planned.plan_topics(kafka)):
        findings = list(_findings(item))
        yield from findings or [fine(item.plan.name, f"{item.partitions} partition(s), as planned")]


def _findings(item: planned.TopicDifference) -> Iterator[CheckResult]:
    name, plan = item.plan.name, item.plan
    if item.partitions is None:
        if item.hidden:
            yield skipped(name, "not shown to this principal", _AS_OPERATOR)
        else:
            yield wrong(name, "there is no such topic", "stumble topics apply")
        return
    if item.hidden:
        yield skipped(name, "its settings are not shown to this principal", _AS_OPERATOR)
    yield from _partitions(item)
    yield from _led(item)
    for setting in item.differing:
        yield _setting(item, setting)
    if plan.replication > (item.replication or 0):
        todo = "kafka-reassign-partitions.sh with a plan of more replicas"
        yield wrong(name, f"{item.replication} replicas, planned are {plan.replication}", todo)


def _setting(item: planned.TopicDifference, setting: str) -> CheckResult:
    value, wanted = item.differing[setting]
    name, says, todo = item.plan.name, f"{setting} is {value}, planned is {wanted}", "stumble topics apply --alter"
    if setting in _MUST:
        return wrong(name, f"{says}: {_MUST[setting]}", todo)
    if setting == "min.insync.replicas" and int(value or 1) > (item.replication or 1):
        return wrong(name, f"{says}, and there are fewer replicas: Kafka before 4.0 accepts no record", todo)
    return warning(name, f"{says}: {_MAY[setting]}" if setting in _MAY else says, todo)


def _partitions(item: planned.TopicDifference) -> Iterator[CheckResult]:
    if (item.partitions or 0) < item.plan.partitions:
        says = f"{item.partitions} partitions, planned are {item.plan.partitions}: fewer projectors can share the work"
        todo = f"set STUMBLE_KAFKA__TOPIC_PARTITIONS to {item.partitions}, or see operations.md"
        yield warning(item.plan.name, says, todo)


def _led(item: planned.TopicDifference) -> Iterator[CheckResult]:
    if item.described is None:
        return
    name, needed = item.plan.name, int(item.plan.settings["min.insync.replicas"])
    partitions = item.described.partitions
    leaderless = [one.id for one in partitions if one.leader is None or one.leader.id < 0]
    short = [one.id for one in partitions if len(one.isr) < min(needed, len(one.replicas))]
    behind = [one.id for one in partitions if len(one.isr) < len(one.replicas)]
    if leaderless:
        yield wrong(name, f"partitions without a leader: {leaderless}", "start the brokers that hold them")
    elif short:
        yield wrong(name, f"too few in-sync replicas to write: {short}", "start the brokers that are down")
    elif behind:
        yield warning(name, f"replicas out of sync: {behind}", "check the brokers that are down or slow")
