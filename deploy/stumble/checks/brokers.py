"""Kafka answers, every broker of it, and acknowledges a record."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stumble.checks.kafka import SECONDS, Unanswered, explained, reach
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, wrong

__all__ = ["check_brokers", "written"]

_CONNECT_SECONDS = 3.0
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


def check_brokers(scope: CheckContext) -> Iterator[CheckResult]:
    """Ask for the cluster, connect to each broker, write one empty record."""
    kafka = scope.settings.kafka
    try:
        _, listed = reach(kafka)
    except Unanswered as error:
        yield wrong(kafka.bootstrap_servers, str(error), error.todo)
        return
    how = str(kafka.options.get("security.protocol", "plaintext")).upper()
    yield fine(kafka.bootstrap_servers, f"{len(listed.brokers)} broker(s) in the cluster, by {how}")
    for broker in listed.brokers.values():
        yield from _connected(str(broker.host), int(broker.port))
    planned = kafka.topic_replication
    if len(listed.brokers) < planned:
        todo = "start the others, or plan fewer copies (STUMBLE_KAFKA__TOPIC_REPLICATION)"
        yield wrong("brokers", f"{len(listed.brokers)} for {planned} planned copies of each partition", todo)
    if kafka.topics.producers in listed.topics:
        yield _writable(scope)


def _connected(host: str, port: int) -> Iterator[CheckResult]:
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        todo = "check advertised.listeners of that broker, and the way to it"
        yield wrong(f"{host}:{port}", f"the cluster names this broker, but it can't be reached: {error}", todo)


def _writable(scope: CheckContext) -> CheckResult:
    topic = scope.settings.kafka.topics.producers
    try:
        written(scope)
    except Unanswered as error:
        return wrong(topic, f"no record can be written: {error}", error.todo)
    except PermissionError:
        return skipped(topic, "this principal may not write; only a relay's needs to")
    return fine(topic, "a record is acknowledged by all replicas in sync")


class SentProbe(NamedTuple):
    """A record as the broker acknowledged it, with this host's time before and after (seconds)."""

    message: Message
    before: float
    after: float


def written(scope: CheckContext) -> SentProbe:
    """Write a record without a value under a key that means nobody.

    Compaction takes it away; readers pass over records without a value.
    Raises `Unanswered`, and ``PermissionError`` where the principal may not write.
    """
    kafka = scope.settings.kafka
    reports: list[tuple[KafkaError | None, Message]] = []
    after = 0.0
    met: list[str] = []
    config = kafka.producer_config(message_timeout_ms=int(SECONDS * 1000), linger_ms=0)
    try:
        producer = Producer({**config, "log_level": 0, "error_cb": lambda error: met.append(error.str())})
        producer.poll(0.5)  # connect first, so that the acknowledgement's time is the record's
        before = time.time()
        producer.produce(
            kafka.topics.producers, key=f"check/{scope.settings.host}", on_delivery=lambda *one: reports.append(one)
        )
        producer.flush(SECONDS + 2)
        after = time.time()
    except KafkaException as error:
        raise explained([*met, error.args[0].str()]) from None
    failed, message = reports[0] if reports else (None, None)
    if failed is not None and failed.code() in _DENIED:
        raise PermissionError(failed.str())
    if failed is not None or message is None:
        said = failed.str() if failed else "no acknowledgement in time"
        raise Unanswered(said, "see that enough replicas are in sync (min.insync.replicas): stumble check topics")
    return SentProbe(message, before, after)
