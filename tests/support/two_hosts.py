"""Two hosts with a relay each, a projector and a store on a secured broker, and an attacker who has one host's access.

The broker has TLS, passwords and the access rules that stumble plans; each relay and the projector have their own user.
"""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from stumble.emitter import Emitter
from stumble.projector.settings import ProjectorSettings
from stumble.provision.acls import grant
from stumble.store.connect import connect
from stumble.testing.events import event, framed
from stumble.wire import codec
from stumble.wire.headers import relay_headers
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import PRODUCER_STATUS
from stumble.wire.topics import partition_key
from tests.support.projection import ProjectorTestbed, eventually
from tests.support.secure import SecureKafka
from tests.support.signing import RelayKey

HOSTS = ("cmp1", "cmp2")


def now_us() -> int:
    return time.time_ns() // 1000


def event_of(host: str, *, clock_ahead: int = 0, **fields: Any) -> dict[str, Any]:
    """Return an event of a new request on a new instance; `clock_ahead`: seconds by which the host's clock is ahead."""
    at = now_us() + clock_ahead * 1_000_000
    times = {"event_id": new_event_id(at), "occurred_at": at, "emitted_at": at}
    names = {"instance_uuid": str(uuid.uuid4()), "request_id": f"req-{uuid.uuid4()}"}
    return event(**{"host": host, **times, **names, **fields})


class TwoHosts:
    """The relays of cmp1 and cmp2, each with its own outbox and Kafka user, a projector and a store.

    The users of the broker are `HOSTS` and `projector`.
    """

    def __init__(self, broker: SecureKafka, url: str, folder: Path) -> None:
        self.broker = broker
        self.testbed = ProjectorTestbed(broker.server.bootstrap_servers, url)  # connects as an administrator
        self.topics = self.testbed.settings.topics
        self._folder = folder
        for host in HOSTS:
            list(grant(self.testbed.settings, {"relay": f"User:{host}", "projector": "User:projector"}))

    def client_config(self, user: str) -> dict[str, Any]:
        password = {"sasl.password": self.broker.passwords[user]}
        return {"bootstrap.servers": self.broker.bootstrap_servers, **self.broker.options(user), **password}

    def start(self, user: str, *command: str, module: str = "stumble.cli", **environment: str) -> subprocess.Popen[str]:
        """Start a role that connects to Kafka as a user."""
        options = self.client_config(user)
        connection = {
            "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": options.pop("bootstrap.servers"),
            "STUMBLE_KAFKA__OPTIONS": json.dumps(options),
            "STUMBLE_PROJECTOR_GROUP": ProjectorSettings().group,
        }
        return self.testbed.start(*command, module=module, **connection | environment)

    def start_relay(self, host: str, *, clock_ahead: int = 0, **environment: str) -> subprocess.Popen[str]:
        command = ("relay", "--outbox-dir", str(self.outbox(host)), "--status-interval", "1")
        if not clock_ahead:
            return self.start(host, *command, STUMBLE_HOST=host, **environment)
        clock = "tests.support.wrong_clock"
        return self.start(host, str(clock_ahead), *command, module=clock, STUMBLE_HOST=host, **environment)

    def outbox(self, host: str) -> Path:
        return self._folder / host

    def emitter(self, host: str, *, named_host: str | None = None) -> Emitter:
        """Return an emitter that writes to the outbox of a host."""
        return Emitter(self.outbox(host), service="nova-compute", host=named_host or host)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connect(self.testbed.url) as session:
            return session.execute(statement.encode(), parameters).fetchall()

    def wait_until_stored(self, *events: dict[str, Any]) -> None:
        eventually(lambda: {one["event_id"] for one in events} - self.stored_ids())

    def stored_ids(self) -> set[str]:
        return {row[0] for row in self.rows("select event_id::text from events")}

    def outcome(self, one: dict[str, Any]) -> str | None:
        rows = self.rows("select outcome from requests where request_id = %s", one["request_id"])
        return rows[0][0] if rows else None

    def wait_for_outcome(self, one: dict[str, Any], outcome: str) -> None:
        eventually(lambda: "" if self.outcome(one) == outcome else f"{self.outcome(one)} instead of {outcome}")

    def processes_of(self, host: str) -> dict[str, str]:
        """Return the producers of a host in the store, and the host of the relay that reports each."""
        return dict(self.rows("select process, relay_host from producers where host = %s and removed_at is null", host))

    def wait_for_processes(self, host: str, count: int) -> None:
        eventually(lambda: "" if len(self.processes_of(host)) == count else str(self.processes_of(host)))


class Attacker:
    """Writes to Kafka with the credentials of cmp1's relay, and signs with its private key if he has it."""

    def __init__(self, cloud: TwoHosts) -> None:
        self.config = {**cloud.client_config("cmp1"), "log_level": 0}
        self._topics = cloud.topics
        self._producer = Producer({**self.config, "linger.ms": 5})
        self._admin = AdminClient(self.config)
        self._errors: list[str] = []

    def write_event(self, one: dict[str, Any], key: RelayKey | None = None, relay: str = "cmp1") -> None:
        self.write(self._topics.actions, framed(one), partition_key(one), key, relay)

    def write_status(self, host: str, process: str, key: RelayKey | None = None, **fields: Any) -> None:
        """Write a status in the name of a relay on the same host."""
        status = {"host": host, "process": process, "reported_at": now_us(), "service": "nova-compute", **fields}
        value = codec.frame_single_object(PRODUCER_STATUS, codec.encode_record(PRODUCER_STATUS, status))
        self.write(self._topics.producers, value, f"{host}/{process}".encode(), key, host)

    def write(
        self,
        topic: str,
        value: bytes | None,
        record_key: bytes | None = None,
        key: RelayKey | None = None,
        relay: str = "cmp1",
        **options: Any,
    ) -> None:
        headers: Any = relay_headers(relay, is_bridge=False)
        if key is not None:
            headers = key.sign(topic, record_key, value, headers)
        self._producer.produce(topic, value, record_key, headers=headers, on_delivery=self._delivered, **options)

    def errors(self) -> list[str]:
        """Return the broker's answers to the records since the last call that it did not accept."""
        assert self._producer.flush(60) == 0
        errors, self._errors = self._errors, []
        return errors

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._errors.append(error.name())

    def read(self, topic: str) -> str:
        """Try to read a topic; returns the name of the broker's error, or `permitted`."""
        consumer = Consumer({**self.config, "group.id": "any", "enable.partition.eof": True})
        try:
            if hidden := consumer.list_topics(topic, 60).topics[topic].error:
                return str(hidden.name())
            consumer.assign([TopicPartition(topic, 0, 0)])
            while True:
                message = consumer.poll(60)
                assert message is not None
                error = message.error()
                if error is None or error.code() == KafkaError._PARTITION_EOF:  # the client's own name
                    return "permitted"
                if error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # no group is needed to read
                    return str(error.name())
        finally:
            consumer.close()

    def change(self, topic: str) -> dict[str, str]:
        """Try to change a topic in each way; returns the names of the broker's errors, or `permitted`."""
        retention = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[retention])
        return {
            "delete": self.ask(lambda admin: admin.delete_topics([topic])),
            "delete records": self.ask(lambda admin: admin.delete_records([TopicPartition(topic, 0, -1)])),
            "alter": self.ask(lambda admin: admin.incremental_alter_configs([resource])),
            "add partitions": self.ask(lambda admin: admin.create_partitions([NewPartitions(topic, 9)])),
        }

    def ask(self, request: Callable[[AdminClient], dict[Any, Any]]) -> str:
        """Send an administrator's request; returns the name of the broker's error, or `permitted`."""
        try:
            for future in request(self._admin).values():
                future.result(60)
        except KafkaException as error:
            return str(error.args[0].name())
        return "permitted"
