"""Check that every Kafka broker answers and that Kafka acknowledges a record."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stumble.checks.kafka import SECONDS, Unanswered, explain_errors, reach_cluster
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, wrong

__all__ = ["check_brokers", "write_probe"]

_CONNECT_SECONDS = 3.0
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


def check_brokers(scope: CheckContext) -> Iterator[CheckResult]:
    """Read the cluster metadata, connect to each broker, write one record without a value."""
    kafka = scope.settings.kafka
    try:
        _, listed = reach_cluster(kafka)
    except Unanswered as error:
        yield wrong(kafka.bootstrap_servers, str(error), error.todo)
        return
    how = str(kafka.options.get("security.protocol", "plaintext")).upper()
    yield fine(kafka.bootstrap_servers, f"{len(listed.brokers)} broker(s) in the cluster, connected by {how}")
    for broker in listed.brokers.values():
        yield from _connected(str(broker.host), int(broker.port))
    planned = kafka.topic_replication
    if len(listed.brokers) < planned:
        todo = "start the other brokers, or plan fewer replicas (STUMBLE_KAFKA__TOPIC_REPLICATION)"
        yield wrong("brokers", f"{len(listed.brokers)} for {planned} planned replicas of each partition", todo)
    if kafka.topics.producers in listed.topics:
        yield _writable(scope)


def _connected(host: str, port: int) -> Iterator[CheckResult]:
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        todo = "check advertised.listeners of that broker, and the network route to it"
        yield wrong(f"{host}:{port}", f"the cluster names this broker, but this host cannot connect: {error}", todo)


def _writable(scope: CheckContext) -> CheckResult:
    topic = scope.settings.kafka.topics.producers
    try:
        write_probe(scope)
    except Unanswered as error:
        return wrong(topic, f"cannot write a record: {error}", error.todo)
    except PermissionError:
        return skipped(topic, "this principal may not write; only the relay's principal needs this right")
    return fine(topic, "all in-sync replicas acknowledged a record")


class SentProbe(NamedTuple):
    """A record that the broker acknowledged, with this host's time before and after (seconds since the epoch)."""

    message: Message
    before: float
    after: float


def write_probe(scope: CheckContext) -> SentProbe:
    """Write a record without a value, with a key that no producer has.

    Compaction removes it; readers skip records without a value.
    Raises `Unanswered`, and ``PermissionError`` if the principal may not write.
    """
    kafka = scope.settings.kafka
    reports: list[tuple[KafkaError | None, Message]] = []
    after = 0.0
    errors: list[str] = []
    config = kafka.producer_config(message_timeout_ms=int(SECONDS * 1000), linger_ms=0)
    try:
        producer = Producer({**config, "log_level": 0, "error_cb": lambda error: errors.append(error.str())})
        producer.poll(0.5)  # connect first, so that the measured time is that of the record alone
        before = time.time()
        producer.produce(
            kafka.topics.producers, key=f"check/{scope.settings.host}", on_delivery=lambda *one: reports.append(one)
        )
        producer.flush(SECONDS + 2)
        after = time.time()
    except KafkaException as error:
        raise explain_errors([*errors, error.args[0].str()]) from None
    failed, message = reports[0] if reports else (None, None)
    if failed is not None and failed.code() in _DENIED:
        raise PermissionError(failed.str())
    if failed is not None or message is None:
        reason = failed.str() if failed else "no acknowledgement in time"
        raise Unanswered(reason, "check that enough replicas are in sync (min.insync.replicas): stumble check topics")
    return SentProbe(message, before, after)
