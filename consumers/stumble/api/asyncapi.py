"""Builds the AsyncAPI document of the topics from the schemas, topic names and headers that the code uses.

AsyncAPI 3.0, with the Kafka bindings 0.5.
"""

from __future__ import annotations

import json
from typing import Any

from stumble.wire.headers import record_headers
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME, EVENT, PRODUCER_STATUS, Schema
from stumble.wire.topics import Topics

_AVRO = "application/vnd.apache.avro;version=1.9.0"
_HEADER_TEXTS = {
    "stumble_schema": "Full name of the writer's schema.",
    "stumble_fingerprint": "CRC-64-AVRO of the writer's schema, 16 hexadecimal digits; with it no registry is needed.",
    "ce_specversion": "CloudEvents, binary mode.",
    "ce_id": "Id of the event; of a published record, of this revision of its subject.",
    "ce_type": "Name and version of the record.",
    "ce_source": "Source of the record.",
    "ce_time": "Time of the event, RFC 3339.",
    "content-type": "application/avro",
    "traceparent": "W3C trace context, where there is one.",
}
_KEYS = {
    "actions": "The instance's uuid in lower case; without an instance the request id, else the publisher.",
    "failures": "The instance's uuid.",
    "outcomes": "The instance's uuid.",
    "producers": "Host and process: the topic is compacted, the last record of a key counts.",
}
_CHANNELS: tuple[tuple[str, Schema, str, str], ...] = (
    ("actions", EVENT, "send", "Events of the compute services, each one phase of a request or step."),
    ("failures", ACTION_FAILED, "receive", "Each failure, and each correction of one, at least once."),
    ("outcomes", ACTION_OUTCOME, "receive", "Each outcome reached, and each correction of one, at least once."),
    ("producers", PRODUCER_STATUS, "receive", "The last status of each producer."),
)


def document(topics: Topics | None = None) -> dict[str, Any]:
    """Return the document, for topics under a prefix where one is configured."""
    named = topics or Topics()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stumble",
            "version": "1",
            "description": (
                "Failures of Nova instance actions on Kafka. Values have Confluent framing (00, schema id) "
                "where a registry is configured, else Avro single-object encoding (C3 01, fingerprint); the first "
                "bytes show which. A reader of any version can read records of every other version."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/avro",
        "channels": {name: _channel(named, name, schema, text) for name, schema, _, text in _CHANNELS}
        | {"dlq": _dead_letters(named)},
        "operations": {
            f"{action}{name.capitalize()}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": text,
            }
            for name, _, action, text in _CHANNELS
        },
        "components": {
            "messages": {_short(schema): _message(name, schema) for name, schema, _, _ in _CHANNELS},
            "schemas": {"Headers": _headers()},
        },
    }


def _channel(topics: Topics, name: str, schema: Schema, text: str) -> dict[str, Any]:
    message = _short(schema)
    return {
        "address": getattr(topics, name),
        "description": text,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": getattr(topics, name), "bindingVersion": "0.5.0"}},
    }


def _dead_letters(topics: Topics) -> dict[str, Any]:
    return {
        "address": topics.dlq,
        "description": (
            "Records that cannot be stored, byte for byte, with headers __stumble.errors.* that give the reason."
        ),
        "messages": {"DeadLetter": {"contentType": "application/octet-stream", "summary": "The original bytes."}},
        "bindings": {"kafka": {"topic": topics.dlq, "bindingVersion": "0.5.0"}},
    }


def _message(name: str, schema: Schema) -> dict[str, Any]:
    definition = json.loads(schema.json)
    return {
        "name": schema.name,
        "title": _short(schema),
        "summary": definition["doc"],
        "contentType": "application/avro",
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"schemaFormat": _AVRO, "schema": definition},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": _KEYS[name]}, "bindingVersion": "0.5.0"},
        },
    }


def _headers() -> dict[str, Any]:
    """Describe the headers that the code writes; one that is not described here fails the test of this document."""
    names = [name for name, _ in record_headers(EVENT, "", "", 0, "traceparent")]
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": _HEADER_TEXTS[name]} for name in names},
        "required": [name for name in names if name != "traceparent"],
    }


def _short(schema: Schema) -> str:
    return schema.name.rpartition(".")[2]
