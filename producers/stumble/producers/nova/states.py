"""The state that this process last saved of an instance, for each request.

Nova hands a step an instance object and often works on another one that it loaded anew, so the object at hand can
show a state that is long gone: an instance whose resize could not be confirmed is in ERROR while the step's own
object still says RESIZED.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

#: Requests that are remembered: more than one process works on at once.
_LIMIT = 4096

Key = tuple[Any, Any]


class States:
    """Bounded memory of (vm_state, task_state) by (instance uuid, request id). Every operation is one of a dict."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._known: OrderedDict[Key, tuple[Any, Any]] = OrderedDict()

    def saved(self, instance_uuid: Any, request_id: Any, vm_state: Any, task_state: Any) -> Any:
        """Remember what was saved; return the vm_state before, None where that is not known."""
        before = self._known.pop((instance_uuid, request_id), (None, None))
        self._known[instance_uuid, request_id] = (vm_state, task_state)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return before[0]

    def corrected(self, found: dict[str, Any], instance_uuid: Any, request_id: Any) -> dict[str, Any]:
        """Return an instance's fields with the state that was saved last under this request, if one was."""
        state = self._known.get((instance_uuid, request_id))
        if state is None:
            return found
        return {**found, "vm_state": state[0], "task_state": state[1]}
