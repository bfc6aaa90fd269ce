"""`stumble tail` with a real broker, and `stumble schema`."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from stumble.wire.codec import encode_record, frame_confluent, frame_single_object
from stumble.wire.headers import record_headers
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME, EVENT, PRODUCER_STATUS, Schema
from tests.support.command import CommandResult, stumble
from tests.support.serving import serving

NOON = 1_769_860_800_000_000
SERVER = "5f0e3c1a-6d3e-4a53-9c67-1f6f1f1b7b11"


class Topic:
    """A topic with an own prefix on the broker of the run."""

    def __init__(self, kafka: str, new_topic: Callable[..., str], name: str) -> None:
        self.kafka = kafka
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.name = new_topic(self.prefix + name, partitions=2)
        self._producer = Producer({"bootstrap.servers": kafka})

    def send(self, value: bytes, key: str = SERVER, headers: Any = None) -> None:
        self._producer.produce(self.name, value, key=key, headers=headers)
        assert self._producer.flush(60) == 0

    def record(self, schema: Schema, **fields: Any) -> None:
        headers = record_headers(schema, "test", "id", NOON)
        self.send(frame_single_object(schema, encode_record(schema, fields)), headers=headers)

    def tail(self, *arguments: str) -> CommandResult:
        environment = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": self.kafka, "STUMBLE_KAFKA__TOPIC_PREFIX": self.prefix}
        return stumble("tail", *arguments, **environment)


@pytest.fixture
def topic(kafka: str, new_topic: Callable[..., str]) -> Callable[[str], Topic]:
    return lambda name: Topic(kafka, new_topic, name)


def lines(result: CommandResult) -> list[Any]:
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


EVERYTHING = ("--from", "beginning", "--to-end", "--format", "json")


def test_tail_prints_events_as_json_and_as_text(topic: Callable[[str], Topic]) -> None:
    actions = topic("instance-actions")
    actions.record(EVENT, event_id="e1", instance_uuid=SERVER, action="stop", phase="ERROR", occurred_at=NOON,
                   failure={"exception": "InstancePowerOffFailure", "reason": "no \x1b[2J answer"})  # fmt: skip
    actions.send(b"not avro")
    good, bad = sorted(lines(actions.tail("actions", *EVERYTHING)), key=lambda item: item.get("error", ""))
    assert good["record"]["occurred_at"] == "2026-01-31T12:00:00.000000Z"
    assert good["record"]["failure"]["exception"] == "InstancePowerOffFailure"
    assert good["key"] == SERVER
    assert good["headers"]["stumble_schema"] == "stumble.InstanceActionEvent"
    assert base64.b64decode(bad["value"]) == b"not avro"
    assert bad["record"] is None
    output = actions.tail(actions.name, "--from", "beginning", "--to-end").stdout
    assert "InstancePowerOffFailure" in output
    assert "\x1b" not in output
    assert "neither Confluent nor single-object" in output


def test_tail_applies_filter_limit_and_start(topic: Callable[[str], Topic]) -> None:
    actions = topic("instance-actions")
    for number in range(3):
        actions.record(EVENT, event_id=f"e{number}", instance_uuid=SERVER)
    assert len(lines(actions.tail(*EVERYTHING, "--limit", "2"))) == 2
    assert lines(actions.tail(*EVERYTHING, "--instance", str(uuid.uuid4()))) == []
    assert len(lines(actions.tail("--from", "1h", "--to-end", "--format", "json"))) == 3
    time.sleep(1.1)
    assert lines(actions.tail("--from", "1s", "--to-end", "--format", "json")) == []
    assert "There are no matching records" in actions.tail("--from", "end", "--to-end").stdout


def test_tail_prints_failures_outcomes_and_producers(topic: Callable[[str], Topic]) -> None:
    failures = topic("instance-action-failures")
    failures.record(ACTION_FAILED, failure_id="f", revision=2, correction=True, status="SUPERSEDED",
                    replaced_by="g", occurred_at=NOON,
                    action="resize", exception="ResizeError", host="cmp1")  # fmt: skip
    output = failures.tail("failures", "--from", "beginning", "--to-end").stdout
    assert "resize  cmp1  ResizeError" in output
    assert "corrected  superseded by g" in output
    outcomes = topic("instance-action-outcomes")
    outcomes.record(ACTION_OUTCOME, action="resize", outcome="FAILED", reason="no room", revision=1, status="CURRENT",
                    display_name="web-1")  # fmt: skip
    assert "resize on web-1: FAILED: no room" in outcomes.tail("outcomes", "--from", "beginning", "--to-end").stdout
    producers = topic("instance-action-producers")
    producers.record(PRODUCER_STATUS, host="cmp1", process="relay", accepted_total=9, sent_total=7, backlog_events=2)
    output = producers.tail("producers", "--from", "beginning", "--to-end").stdout
    assert "cmp1 relay  sent 7 of 9, 2 waiting" in output


@pytest.fixture
def registry() -> Iterator[str]:
    """A registry with the event's schema without one field as id 7, as an older producer writes it."""
    older = json.loads(EVENT.json)
    older["fields"] = [field for field in older["fields"] if field["name"] != "labels"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/schemas/ids/7"
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"schema": json.dumps(older)} if known else {"message": "no"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url


def test_tail_reads_confluent_framing_with_and_without_a_registry(topic: Callable[[str], Topic], registry: str) -> None:
    actions = topic("instance-actions")
    actions.send(frame_confluent(99, encode_record(EVENT, {"event_id": "known by its header"})),
                 headers=record_headers(EVENT, "test", "id", NOON))  # fmt: skip
    assert lines(actions.tail(*EVERYTHING))[0]["record"]["event_id"] == "known by its header"
    unknown = topic("instance-actions")
    import io

    import fastavro

    body = io.BytesIO()
    older = json.loads(EVENT.json)
    older["fields"] = [field for field in older["fields"] if field["name"] != "labels"]
    fastavro.schemaless_writer(body, fastavro.parse_schema(older), {"event_id": "older"})
    unknown.send(frame_confluent(7, body.getvalue()))
    assert "configure the registry" in lines(unknown.tail(*EVERYTHING))[0]["error"]
    event = lines(unknown.tail(*EVERYTHING, "--registry", registry))[0]
    assert event["record"]["event_id"] == "older"
    assert event["record"]["labels"] == {}


def test_tail_error_is_one_sentence(topic: Callable[[str], Topic], kafka: str) -> None:
    actions = topic("instance-actions")
    for arguments, words in (
        (("nonsense",), "is not a topic of stumble"),
        (("outcomes",), "stumble topics apply"),
        (("actions", "--bootstrap-servers", "127.0.0.1:9"), "Kafka cannot be used"),
    ):
        result = actions.tail(*arguments, "--to-end")
        assert result.returncode == 1
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert actions.tail("--from", "whenever").returncode == 2


def schema(*arguments: str) -> CommandResult:
    return stumble("schema", *arguments)


def test_schema_commands_show_and_check_schemas(tmp_path: Path) -> None:
    assert "stumble.ActionFailed" in schema("list").stdout
    output = schema("show", "actionfailed", "--format", "json").stdout
    assert json.loads(output) == json.loads(ACTION_FAILED.json)
    assert "SUPERSEDED" in schema("show", "stumble.ActionFailed").stdout
    assert schema("check").returncode == 0
    incompatible = json.loads(ACTION_FAILED.json)
    for field in incompatible["fields"]:
        if field["name"] == "occurred_at":
            field["type"]["logicalType"] = "timestamp-millis"
    file = tmp_path / "action-failed.v2.avsc"
    file.write_text(json.dumps(incompatible))
    result = schema("check", str(file))
    assert result.returncode == 1
    assert "timestamp-m" in result.stdout
    file.write_text("{}")
    assert schema("check", str(file)).returncode == 1
    result = schema("show", "nothing")
    assert result.returncode == 1
    assert "the schemas are ActionFailed" in result.stderr
