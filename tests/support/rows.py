"""Rows as the projector writes them, for tests of readers."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Json, Jsonb

from stumble.outcome.facts import Fact, pack_facts
from stumble.store.incarnation import connect_writer, ensure_incarnation
from stumble.wire.codec import encode_record, frame_single_object
from stumble.wire.schemas import EVENT
from stumble.wire.taxonomy import withheld_message

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@dataclass
class Store:
    """Writes rows into a migrated store."""

    url: str
    connection: psycopg.Connection[Any] = field(init=False)
    incarnation: int = field(init=False)

    def __post_init__(self) -> None:
        self.connection = connect_writer(self.url, "stumble-test")
        self.begin_incarnation()

    def begin_incarnation(self) -> None:
        """Begin an incarnation if the database needs one, as a projector does; later publications belong to it."""
        self.incarnation = ensure_incarnation(self.connection).number

    def insert(self, table: str, **values: Any) -> None:
        names = ", ".join(values)
        placeholders = ", ".join(f"%({name})s" for name in values)
        self.connection.execute(f"insert into {table} ({names}) values ({placeholders})", values)

    def empty(self) -> None:
        tables = "requests, failures, events, fact_sets, publications, sightings, offsets, producers, counters"
        self.connection.execute(f"truncate {tables}")

    def request(self, **given: Any) -> dict[str, Any]:
        values = {
            "request_key": uuid.uuid4(),
            "instance_uuid": uuid.uuid4(),
            "request_id": f"req-{uuid.uuid4()}",
            "family": given.get("action", "stop"),
            "action": "stop",
            "display_name": "web-1",
            "owner_project_id": "p1",
            "outcome": "FAILED",
            "started_at": START,
            "last_event_at": START + timedelta(seconds=3),
            "failure_count": 0,
            "version": 1,
            "kafka_partition": 0,
        } | given
        values["steps"] = Jsonb(values.get("steps", []))
        values["labels"] = Jsonb(values.get("labels", {}))
        self.insert("requests", **values)
        return values

    def failure(self, request: dict[str, Any], **given: Any) -> dict[str, Any]:
        shared = ("request_key", "instance_uuid", "request_id", "action", "display_name", "owner_project_id")
        values = {
            "failure_id": uuid.uuid4(),
            **{name: request.get(name) for name in shared},
            "host": "cmp1",
            "node": "cmp1.example",
            "step": "compute_stop_instance",
            "attempt": 1,
            "exception": "InstancePowerOffFailure",
            "code": 500,
            "reason": "Failed to power off instance: the guest does not answer",
            "blame": "OPERATOR",
            "effect": "NONE",
            "occurred_at": START + timedelta(seconds=2),
            "fingerprint": "v1:0123456789abcdef",
            "kafka_partition": 0,
        } | given
        self.insert("failures", **values)
        return values

    def event(self, event_id: uuid.UUID, **fields: Any) -> None:
        body = frame_single_object(EVENT, encode_record(EVENT, {"event_id": str(event_id), **fields}))
        given = {"message": None, "reason": None, **(fields.get("failure") or {})}
        self.insert("events", event_id=event_id, occurred_at=START, kafka_partition=0, kafka_offset=1, body=body,
                    message=withheld_message(given))  # fmt: skip

    def failure_with_message(self, request: dict[str, Any], message: str, **given: Any) -> dict[str, Any]:
        """Insert a failure whose reason is only its class, and the event that has its message."""
        event_id = uuid.uuid4()
        given = {"exception": "libvirtError", "reason": "libvirtError"} | given
        self.event(event_id, failure={**{name: given[name] for name in ("exception", "reason")}, "message": message})
        return self.failure(request, detail_event_id=event_id, **given)

    def facts(self, instance: uuid.UUID, request_id: str, facts: list[Fact]) -> None:
        self.insert(
            "fact_sets",
            instance_uuid=instance,
            request_id=request_id,
            facts=pack_facts(facts),
            stored=b"",
            version=1,
            kafka_partition=0,
        )

    def publish(self, kind: str, row: dict[str, Any], **given: Any) -> None:
        record = {name: value for name, value in row.items() if not isinstance(value, Jsonb)} | given
        subject = row["failure_id"] if kind == "failure" else row["request_key"]
        revision = given.get("revision", 1)
        payload = json.loads(json.dumps(record, default=str))
        self.insert(
            "publications",
            kind=kind,
            subject_id=subject,
            request_key=row["request_key"],
            instance_uuid=row["instance_uuid"],
            revision=revision,
            correction=revision > 1,
            incarnation=self.incarnation,
            status=given.get("status", "CURRENT"),
            payload=Json(payload),
            kafka_partition=0,
        )

    def finish_request(self, request: dict[str, Any], outcome: str, *, publish: bool = True) -> None:
        """Store the outcome of a request as the projector does: row and publication in one transaction."""
        with self.connection.transaction():
            self.connection.execute(
                "update requests set outcome = %s, finished_at = now(), updated_at = now() where request_key = %s",
                (outcome, request["request_key"]),
            )
            if publish:
                self.publish("outcome", request, outcome=outcome)
