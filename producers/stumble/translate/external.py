"""External events: one call by Neutron or Cinder that names several instances and resources.

A compute processes the events of such a call in order and stops at the first that fails. The notification names all
events, also those that succeeded and those not started, so it shows that one failed, but seldom which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stumble.translate import fields
from stumble.translate.skip import NO_INSTANCE, NOT_AN_ACTION, Skipped
from stumble.wire.masking import MAX_TEXT

Data = Mapping[str, Any]
Known = dict[str, Any]
#: Instance uuid and tag of the event at which a call failed; known only in the process that raised.
Failing = tuple[str, str]

#: Further items of one call are ignored.
MAX_ITEMS = 256
#: Maximum number of listed resources if any of them may have failed.
_MAX_LISTED = 16
#: The few fields that are read from an object's ``repr``: ``InstanceExternalEvent(instance_uuid=…,name='…',tag='…')``.
_REPR_FIELD = re.compile(r"[(,](instance_uuid|name|tag|uuid)='?([\w.:-]{1,255})")
_EXTENDED = "volume-extended"
_ACTING_EVENTS = (_EXTENDED, "power-update")


class ActionTarget(NamedTuple):
    """An event of the call that starts an action, or an instance if the events do not name one."""

    position: int
    instance: Data
    kind: str | None
    tag: str | None

    @property
    def uuid(self) -> str | None:
        """The uuid of the instance."""
        return uuid_of(self.instance)

    @property
    def known(self) -> Known:
        """The schema fields that follow from this target."""
        if self.kind == _EXTENDED:
            return {
                "action": "extend_volume",
                "step": "compute_extend_volume",
                "target_kind": "volume",
                "target_id": self.tag,
            }
        return {"step": "compute_power_update"} if self.kind in _ACTING_EVENTS else {}


def failed_at(args: Data, message: str | None, failing: Failing | None) -> tuple[int, Data, Known]:
    """Return position, instance and known fields of the target that failed; only what all candidates have in common.

    ``message`` is the exception's text. A target kind without an id means one of several targets. If candidates belong
    to several instances, the instance is empty, since the failure may belong to any of them. Raises ``Skipped`` if the
    call started no action.
    """
    targets = list(_targets(args))
    if not targets:
        raise Skipped(NO_INSTANCE)
    candidates = _candidates(targets, message, failing)
    first = candidates[0]
    if len(candidates) == 1:
        return first.position, first.instance, first.known
    shared = {
        name: value for name, value in first.known.items() if all(one.known.get(name) == value for one in candidates)
    }
    if len({one.uuid for one in candidates}) > 1:
        return len(targets), {}, shared
    tags = list(dict.fromkeys(one.tag for one in candidates if one.tag))
    if len(tags) > 1:
        shared["attributes"] = {"one_of": " ".join(tags[:_MAX_LISTED])}
    return len(targets), first.instance, shared


def _candidates(
    targets: Sequence[ActionTarget], message: str | None, failing: Failing | None
) -> Sequence[ActionTarget]:
    """Return the targets that may have failed: ``failing`` if given, else those that the exception's text names."""
    if failing is not None:
        named = [one for one in targets if (one.uuid, one.tag) == failing]
        if named:
            return named[:1]
    targets = _named(targets, message, lambda one: fields.uuid(one.tag) and one.tag)
    return _named(targets, message, lambda one: one.uuid)


def _named(
    targets: Sequence[ActionTarget], message: str | None, name: Callable[[ActionTarget], str | None]
) -> Sequence[ActionTarget]:
    if not message or len(targets) == 1:
        return targets
    return [one for one in targets if (text := name(one)) and text in message] or targets


def _targets(args: Data) -> Iterator[ActionTarget]:
    """Yield each external event that starts an action, or each instance if no event names one.

    Raises ``Skipped`` if no event starts an action (``network-changed``).
    """
    instances = [_object(item) for item in listed(args.get("instances"))]
    by_uuid = {uuid_of(item): item for item in instances if uuid_of(item)}
    named = False
    position = 0
    for item in listed(args.get("events")):
        result = _object(item)
        instance = by_uuid.get(fields.uuid(field(result, "instance_uuid")))
        if instance is not None:
            named = True
            kind = fields.text(field(result, "name"))
            if kind in _ACTING_EVENTS:
                yield ActionTarget(position, instance, kind, fields.text(field(result, "tag")))
                position += 1
    if named and not position:
        raise Skipped(NOT_AN_ACTION)
    if not named:
        for position, instance in enumerate(by_uuid.values()):
            yield ActionTarget(position, instance, None, None)


def uuid_of(instance: Any) -> str | None:
    """Return an instance's uuid, or None if ``instance`` has no valid one."""
    return fields.uuid(fields.data(instance).get("uuid"))


def listed(value: Any) -> list[Any]:
    """Return the items of a list of objects in any serialization."""
    if isinstance(value, Mapping):
        value = fields.data(value).get("objects")
    return list(value[:MAX_ITEMS]) if isinstance(value, list | tuple) else []


def field(result: Data, name: str) -> Any:
    """Return a field of an object that may be serialized with private names (``_obj_tag``)."""
    return result.get(name, result.get(f"_obj_{name}"))


def _object(item: Any) -> Data:
    """Return an object's fields; of a ``repr`` only those of ``_REPR_FIELD`` (the last value of a name counts)."""
    if isinstance(item, str):
        return {entry[1]: entry[2] for entry in _REPR_FIELD.finditer(item[:MAX_TEXT])}
    return fields.data(item)
