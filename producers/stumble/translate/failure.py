"""Builds the ``failure`` of an event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from stumble.translate import fields
from stumble.translate.causes import causes_in
from stumble.translate.exceptions import ParsedException, from_legacy, parse_exception
from stumble.translate.names import NO_ACTION_METHODS, STEP_ACTIONS, step_of_method
from stumble.wire.masking import mask_secrets
from stumble.wire.taxonomy import classify, safe_reason

Failure = dict[str, Any]

_START = "Traceback (most recent call last):"
_FRAME = re.compile(r'File "[^"\n]{0,512}nova/(compute|conductor)/manager\.py", line \d+, in (\w{1,128})')
_UNKNOWN_CLASS = "Exception"

#: The compute method that receives events of Neutron and Cinder; an event that starts an action runs a step inside.
EXTERNAL_EVENT = "external_instance_event"


def build_failure(
    what: ParsedException,
    *,
    module: str | None = None,
    function: str | None = None,
    traceback: str | None = None,
    chain: Iterable[str] = (),
) -> Failure:
    """Return the ``failure`` record of one exception as one signal showed it, with secrets masked."""
    name = what.exception or _UNKNOWN_CLASS
    known = classify(name)
    message = mask_secrets(what.message) if what.message else None
    trace = traceback or what.traceback
    return {
        "exception": name,
        "module": module,
        "function": function,
        "chain": [*chain, *what.chain],
        "code": known.code if what.code is None else what.code,
        "code_source": known.code_source if what.code is None else "SOURCE",
        "reason": safe_reason(name, message),
        "message": message,
        "traceback": mask_secrets(trace) if trace else None,
        "blame": known.blame,
        "retryable": known.retryable,
    }


def versioned_failure(payload: Any) -> Failure | None:
    """Return the failure in a versioned ExceptionPayload, or None."""
    result = fields.data(payload)
    name = fields.text(result.get("exception"))
    if name is None:
        return None
    traceback = fields.text(result.get("traceback"))
    return build_failure(
        parse_exception(name, fields.text(result.get("exception_message"))),
        module=fields.text(result.get("module_name")),
        function=fields.text(result.get("function_name")),
        traceback=traceback,
        chain=causes_in(traceback, name),
    )


def legacy_failure(payload: Mapping[str, Any], *, key: str = "exception") -> Failure | None:
    """Return the failure that a legacy payload shows under ``key``, or None."""
    what = from_legacy(payload.get(key))
    if what is None:
        return None
    if what.message is None and key == "exception":
        what = what._replace(message=fields.text(payload.get("message")))
    if what.code is None and what.exception is not None:
        what = what._replace(code=fields.integer(payload.get("code")))
    return build_failure(what)


def method_of(traceback: str | None) -> tuple[str, str] | None:
    """Return (service, method) of the outermost manager method in a traceback, which a ``compute.exception`` ended.

    The notification itself names only the raising frame; the outermost method of the manager is the step.
    """
    if not traceback:
        return None
    last = traceback.rfind(_START)
    frames = _FRAME.findall(traceback[max(last, 0) :])
    for where, name in frames:
        step = step_of_method(name, f"nova-{where}")
        if name in NO_ACTION_METHODS or step in STEP_ACTIONS or name in _SHARED_METHODS:
            return f"nova-{where}", name
    return ("nova-compute", EXTERNAL_EVENT) if ("compute", EXTERNAL_EVENT) in frames else None


#: Methods that several actions run as a step.
_SHARED_METHODS = frozenset(
    {"stop_instance", "rebuild_instance", "snapshot_instance", "shelve_offload_instance", "power_update"}
)
