"""The state that this process last saved of an instance, for each request.

Nova hands a step an instance object and often works on another one that it loaded anew, so the object at hand can
show a state that is long gone: an instance whose resize could not be confirmed is in ERROR while the step's own
object still says RESIZED.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

#: Requests that are remembered: more than one process works on at once.
_LIMIT = 4096


class _State(NamedTuple):
    vm_state: Any
    task_state: Any
    is_saved: bool


class SavedStates:
    """Bounded memory of states by (instance uuid, request id). Every operation is one of a dict."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[Any, Any], _State] = OrderedDict()

    def saved(self, instance_uuid: Any, request_id: Any, vm_state: Any, task_state: Any) -> Any:
        """Remember what was saved; return the vm_state before, None where that is not known."""
        before = self._put((instance_uuid, request_id), _State(vm_state, task_state, True))
        return before.vm_state if before else None

    def handed(self, instance_uuid: Any, request_id: Any, result: dict[str, Any]) -> None:
        """Take an instance that a step was handed: another host may have had its turn since this one saved."""
        state = _State(result.get("vm_state"), result.get("task_state"), False)
        self._put((instance_uuid, request_id), state)

    def corrected(self, result: dict[str, Any], instance_uuid: Any, request_id: Any) -> dict[str, Any]:
        """Return an instance's fields with the state that was saved last in this step, if one was."""
        state = self._known.get((instance_uuid, request_id))
        if state is None or not state.is_saved:
            return result
        return {**result, "vm_state": state.vm_state, "task_state": state.task_state}

    def _put(self, key: tuple[Any, Any], state: _State) -> _State | None:
        before = self._known.pop(key, None)
        self._known[key] = state
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return before
