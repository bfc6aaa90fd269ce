"""Find notification queues without a consumer: they grow until the message bus stops, and then Nova stops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stumble.bridge.kafka import consumer_config, topic_patterns
from stumble.checks.model import IMPORTING, CheckContext, CheckResult, fine, skipped, warning, wrong

if TYPE_CHECKING:
    from stumble.bridge.settings import TransportSettings

__all__ = ["check_notifications"]

_PRIORITIES = ("info", "error", "warn", "debug", "critical", "audit", "sample")
_SECONDS = 5
_BOUND = (
    "consume it, or remove driver messagingv2, or limit it: rabbitmqctl set_policy notifications "
    '\'^(versioned_)?notifications\\.\' \'{"max-length": 100000, "overflow": "drop-head"}\' --apply-to queues'
)


def check_notifications(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the queues of each transport."""
    if not scope.transports:
        todo = "stumble check notifications --nova-conf /etc/nova/nova.conf, or --transport rabbit://…"
        yield skipped("notifications", "no message bus is configured here", todo)
    for transport in scope.transports:
        try:
            yield from _kafka(scope, transport) if transport.is_kafka else _rabbit(scope, transport)
        except Exception as error:  # noqa: BLE001 - the other buses are checked all the same
            reason = " ".join(str(error).split()) or type(error).__name__
            yield wrong(transport.name, f"does not answer: {reason}", "check its URL, and that it runs")


def _rabbit(scope: CheckContext, transport: TransportSettings) -> Iterator[CheckResult]:
    with IMPORTING:
        from kombu.connection import Connection  # noqa: PLC0415 - comes with oslo.messaging

    made: Any = Connection  # kombu has no annotations
    with made(_addresses(transport), connect_timeout=_SECONDS, **_tls(transport)) as link:
        link.ensure_connection(max_retries=1, interval_start=0.2, timeout=_SECONDS)
        count = 0
        for topic in transport.topics:
            for priority in _PRIORITIES:
                name = f"{topic}.{priority}"
                result = _declared(link, name)
                if result is None:
                    continue
                count += 1
                waiting, consumers = result
                if not consumers:
                    yield warning(f"{transport.name} {name}", f"no consumer, {waiting} messages wait", _BOUND)
        yield fine(transport.name, f"{count} notification queues checked")
        if transport.name in scope.bridged and (own := _declared(link, transport.pool)) and not own[1]:
            todo = "start `stumble bridge`"
            yield wrong(f"{transport.name} {transport.pool}", f"no bridge reads it, {own[0]} messages wait", todo)


def _declared(link: Any, name: str) -> tuple[int, int] | None:
    """Return the number of messages and of consumers of a queue, None if it does not exist; it creates no queue."""
    channel = link.channel()
    try:
        result = channel.queue_declare(name, passive=True)
    except link.channel_errors:  # 404; the server has closed the channel
        return None
    channel.close()
    return int(result.message_count), int(result.consumer_count)


def _addresses(transport: TransportSettings) -> str:
    """Return kombu's form of oslo.messaging's URL, which may name several hosts."""
    hosts, slash, path = transport.url.get_secret_value().partition("://")[2].partition("/")
    return ";".join(f"amqp://{host}{slash}{path.partition('?')[0]}" for host in hosts.split(","))


def _tls(transport: TransportSettings) -> dict[str, Any]:
    options = transport.options
    if str(options.get("ssl", "")).lower() not in {"true", "1", "yes"}:
        return {}
    names = {"ca_certs": "ssl_ca_file", "certfile": "ssl_cert_file", "keyfile": "ssl_key_file"}
    return {"ssl": {name: options[option] for name, option in names.items() if option in options} or True}


def _kafka(scope: CheckContext, transport: TransportSettings) -> Iterator[CheckResult]:
    config = consumer_config(transport)
    client = AdminClient({name: config[name] for name in ("bootstrap.servers", *_security(config))} | {"log_level": 0})
    patterns = [re.compile(pattern) for pattern in topic_patterns(transport)]
    names = sorted(
        name for name in client.list_topics(timeout=_SECONDS).topics if any(one.match(name) for one in patterns)
    )
    readers = _readers(client)
    for name in names:
        if not readers.get(name):
            todo = "consume it, or remove the notification driver, or set a short retention for the topic"
            yield warning(f"{transport.name} {name}", "no consumer group reads it", todo)
    yield fine(transport.name, f"{len(names)} notification topics checked")
    if names and transport.name in scope.bridged and not any(transport.pool in readers.get(name, ()) for name in names):
        yield wrong(transport.name, f"no bridge reads as group {transport.pool}", "start `stumble bridge`")


def _readers(client: AdminClient) -> dict[str, set[str]]:
    groups = [item.group_id for item in client.list_consumer_groups(request_timeout=_SECONDS).result().valid]
    result: dict[str, set[str]] = {}
    for group, future in (client.describe_consumer_groups(groups) if groups else {}).items():
        try:
            members = future.result(_SECONDS).members
        except KafkaException:
            continue
        for member in members:
            for partition in member.assignment.topic_partitions:
                result.setdefault(partition.topic, set()).add(group)
    return result


def _security(config: dict[str, Any]) -> list[str]:
    return [name for name in config if name.startswith(("security.", "sasl.", "ssl."))]
