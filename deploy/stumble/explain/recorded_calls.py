"""Converts calls that the test harness recorded (tests/nova/novaharness/record.py) to calls as the tap describes them.

The harness records fewer fields than the tap: the service, the code of an exception and most of the instance's state
are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from stumble.translate import fields

_KINDS: Final = {
    "action_start": "action_start",
    "event_start": "event_start",
    "event_finish": "event_finish",
    "event_finish_with_failure": "event_finish",
    "add_instance_fault_from_exc": "fault",
    "Migration.save": "migration",
}
_SERVICES: Final = (("compute_", "nova-compute"), ("api_", "nova-api"))


def call_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tap's call of a recorded one. Its id is a function of the line. An unknown function has no kind."""
    function, arguments = fields.text(line.get("call")), fields.mapping(line.get("args"))
    exception = fields.mapping(line.get("exc"))
    migration, instance = fields.mapping(arguments.get("migration")), fields.mapping(arguments.get("instance"))
    step = fields.text(arguments.get("event_name"))
    raw = json.dumps(line, sort_keys=True, default=str).encode("utf-8", "replace")
    time = line.get("t")
    return {
        "kind": _KINDS.get(function or ""),
        "function": function,
        "call_id": hashlib.blake2b(raw, digest_size=16).hexdigest(),
        "time_us": int(time * 1_000_000) if isinstance(time, int | float) and 0 < time < 1e11 else None,
        "host": arguments.get("host") or line.get("host"),
        "service": _service(step) if function != "action_start" else "nova-api",
        "instance_uuid": arguments.get("instance_uuid") or instance.get("uuid") or migration.get("instance_uuid"),
        "action": arguments.get("action_name"),
        "step": step,
        "failed": bool(exception),
        "exception": _exception(exception),
        "instance": instance,
        "migration": migration,
    }


def _service(step: str | None) -> str | None:
    if step is None:
        return None
    return next((service for prefix, service in _SERVICES if step.startswith(prefix)), "nova-conductor")


def _exception(recorded: Mapping[str, Any]) -> dict[str, Any] | None:
    if not recorded:
        return None
    chain = recorded.get("chain")
    return {
        **{name: recorded.get(name) for name in ("class", "module", "message", "traceback")},
        "token": fields.text(recorded.get("id")),
        "chain": chain[1:] if isinstance(chain, list) else [],  # the first is the exception itself
    }
