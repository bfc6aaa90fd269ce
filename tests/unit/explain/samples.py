"""Signals of one failed stop, as each source of them has them."""

from __future__ import annotations

import json
from typing import Any

SERVER = "11111111-2222-4333-8444-555555555555"
REQUEST = "req-00000000-0000-4000-8000-00000000000a"
CONTEXT = {"request_id": REQUEST, "user_id": "user-1", "project_id": "project-1"}
T0_US = 1_777_629_600_000_000
SECRET = "Xk29fLq8zzzz"


def failure(message: str = "Failed to power off", exception: str = "InstancePowerOffFailure") -> dict[str, Any]:
    return {
        "class": exception,
        "module": "nova.exception",
        "message": message,
        "chain": ["libvirtError"],
        "token": "1" * 32,
    }


def call(kind: str, second: int, server: str = SERVER, **fields: Any) -> dict[str, Any]:
    """Return a call as the tap describes it, ``second`` seconds after the first."""
    return {
        "kind": kind,
        "function": kind,
        "call_id": f"{second:032x}",
        "time_us": T0_US + second * 1_000_000,
        "service": "nova-api" if kind == "action_start" else "nova-compute",
        "host": "api1" if kind == "action_start" else "cmp1",
        "instance_uuid": server,
        **fields,
    }


def failed_stop(server: str = SERVER, **exception: str) -> list[dict[str, Any]]:
    """Return the calls of a stop that fails."""
    step = {"step": "compute_stop_instance"}
    return [
        call("action_start", 1, server, action="stop"),
        call("event_start", 2, server, **step),
        call("fault", 3, server, exception=failure(**exception)),
        call("event_finish", 4, server, failed=True, exception=failure(**exception), **step),
    ]


def steps(calls: list[dict[str, Any]], context: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return calls as steps of a report."""
    return [{"tap": one, "context": context or CONTEXT} for one in calls]


def notification(event_type: str = "instance.power_off.end", message_id: str = "m1", **data: Any) -> dict[str, Any]:
    """Return a versioned notification."""
    return {
        "event_type": event_type,
        "publisher_id": "nova-compute:cmp1",
        "message_id": message_id,
        "timestamp": "2026-05-01 10:00:05",
        "priority": "INFO",
        "payload": {"nova_object.data": {"uuid": SERVER, "state": "stopped", "task_state": None, **data}},
    }


def on_rabbit(message: dict[str, Any]) -> dict[str, Any]:
    """Return a notification's envelope as it is in RabbitMQ: the context is flattened."""
    flat = {f"_context_{name}": value for name, value in CONTEXT.items()}
    return {"oslo.version": "2.0", "oslo.message": json.dumps({**message, **flat, "_unique_id": "1"})}


def of_management(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answer of RabbitMQ's management API with one notification."""
    envelope = json.dumps(on_rabbit(message))
    return [{"payload_bytes": len(envelope), "routing_key": "x", "payload": envelope, "payload_encoding": "string"}]


def on_kafka(message: dict[str, Any]) -> dict[str, Any]:
    """Return a notification's envelope as it is in Kafka: the context is nested."""
    return {"oslo.version": "2.0", "oslo.message": json.dumps({**message, "_context": CONTEXT})}


def in_log(message: dict[str, Any]) -> str:
    """Return the line of oslo.messaging's log driver in oslo.log's default format."""
    name = f"oslo.messaging.notification.{message['event_type']}"
    context = f"[None {REQUEST} user-1 project-1 - - default default]"
    return f"2026-05-01 10:00:05.123 77 INFO {name} {context} {json.dumps(message)}"


def recorded(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return steps as the recordings of Nova hold them."""
    return [
        {"ctxt": step["context"], **({"call": step["tap"]} if "tap" in step else {"msg": step["note"]})}
        for step in steps
    ]
