"""Record the messages for Nova's notification drivers, and the calls that a tap can observe, as JSON lines.

Tests of derivation and translation use such recordings. They contain Nova's payloads unchanged, with tokens of
the fake users, and must not be published.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from nova.compute import utils as compute_utils
from nova.objects import instance_action, migration
from oslo_messaging.notify import _impl_test
from oslo_serialization import jsonutils

from novaharness import hosts

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable


PARAMETERS = {
    "action_start": ("context", "instance_uuid", "action_name", "want_result"),
    "event_start": ("context", "instance_uuid", "event_name", "want_result", "host"),
    "event_finish": ("context", "instance_uuid", "event_name", "want_result"),
    "event_finish_with_failure": (
        "context",
        "instance_uuid",
        "event_name",
        "exc_val",
        "exc_tb",
        "want_result",
    ),
    "add_instance_fault_from_exc": ("context", "instance", "fault", "exc_info", "fault_message"),
}
"""Names of positional arguments (event_finish_with_failure hides its own behind a decorator)."""


class Recorder:
    """Writes one JSON object a line; `scenario` is the name of the running scenario."""

    def __init__(self, path: pathlib.Path):
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._local = threading.local()
        self.scenario = "boot"

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line."""
        line = {"t": time.time(), "scenario": self.scenario, "kind": kind, "host": hosts.current(), **fields}
        self._file.write(json.dumps(jsonutils.to_primitive(line, convert_instances=True, fallback=str)) + "\n")
        self._file.flush()

    def install(self) -> None:
        """Replace oslo.messaging's `test` driver, and wrap the functions that a tap wraps."""
        recorder = self

        def notify(self: Any, ctxt: dict, msg: dict, priority: str, retry: Any) -> None:
            recorder.write("notification", ctxt=ctxt, msg=msg, priority=priority)

        _impl_test.TestDriver.notify = notify
        self._wrap_class(instance_action.InstanceAction, "action_start")
        for name in ("event_start", "event_finish", "event_finish_with_failure"):
            self._wrap_class(instance_action.InstanceActionEvent, name)
        original = compute_utils.add_instance_fault_from_exc
        compute_utils.add_instance_fault_from_exc = self._wrap(original, "add_instance_fault_from_exc")
        save = migration.Migration.save

        @functools.wraps(save)  # it copies what oslo.versionedobjects reads, too: remotable and original_fn
        def save_and_record(self: Any) -> Any:
            changed = "status" in self.obj_what_changed()
            result = save(self)
            if changed:
                recorder.write(
                    "tap",
                    call="Migration.save",
                    args={"migration": _plain(self)},
                    ctxt=_context(self._context),
                    exc=_exception(sys.exc_info()[1]),
                )
            return result

        migration.Migration.save = save_and_record

    def _wrap_class(self, owner: type, name: str) -> None:
        setattr(owner, name, staticmethod(self._wrap(getattr(owner, name), name)))

    def _wrap(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(original)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            outermost = not getattr(self._local, "nested", False)
            self._local.nested = True
            try:
                if outermost:
                    self._call(name, dict(zip(PARAMETERS[name], args, strict=False)) | kwargs)
                return original(*args, **kwargs)
            finally:
                if outermost:
                    self._local.nested = False

        return recorded

    def _call(self, name: str, given: dict[str, Any]) -> None:
        context = given.pop("context")
        exc = given.pop("exc_val", None) or given.pop("fault", None)
        for ignored in ("exc_tb", "exc_info", "want_result"):
            given.pop(ignored, None)
        instance = given.get("instance")
        if instance is not None:
            given["instance"] = {"uuid": instance.uuid, "vm_state": instance.vm_state, "host": instance.host}
        self.write("tap", call=name, args=given, ctxt=_context(context), exc=_exception(exc))


def _plain(migration_object: Any) -> dict[str, Any]:
    names = (
        "id",
        "uuid",
        "instance_uuid",
        "status",
        "migration_type",
        "source_compute",
        "dest_compute",
        "source_node",
        "dest_node",
        "old_instance_type_id",
        "new_instance_type_id",
    )
    return {name: getattr(migration_object, name) for name in names if name in migration_object}


def _context(context: Any) -> dict[str, Any]:
    return context.redacted_copy().to_dict() if hasattr(context, "redacted_copy") else {}


def _exception(exc: BaseException | None) -> dict[str, Any] | None:
    if exc is None:
        return None
    return {
        "class": type(exc).__name__,
        "module": type(exc).__module__,
        "message": str(exc),
        "id": id(exc),
        "chain": [type(link).__name__ for link in _links(exc)],
        "traceback": "".join(traceback.format_exception(exc)),
    }


def _links(exc: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links
