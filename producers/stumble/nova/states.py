"""The state that this process last saved of an instance, for each request.

Nova passes an instance object to a step and often changes another object that it loaded later, so the step's object
can show an outdated state: an instance whose resize could not be confirmed is in ERROR while the step's object still
has RESIZED.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

#: Number of remembered requests: more than one process works on at the same time.
_LIMIT = 4096


class _State(NamedTuple):
    vm_state: Any
    task_state: Any
    is_saved: bool


class SavedStates:
    """Bounded map of states by (instance uuid, request id). Every operation is a single dict operation."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[Any, Any], _State] = OrderedDict()

    def saved(self, instance_uuid: Any, request_id: Any, vm_state: Any, task_state: Any) -> Any:
        """Store the saved state; return the previous vm_state, or None if it is unknown."""
        before = self._put((instance_uuid, request_id), _State(vm_state, task_state, True))
        return before.vm_state if before else None

    def handed(self, instance_uuid: Any, request_id: Any, result: dict[str, Any]) -> None:
        """Store the state passed to a step: another host may have changed the instance since this process saved it."""
        state = _State(result.get("vm_state"), result.get("task_state"), False)
        self._put((instance_uuid, request_id), state)

    def corrected(self, result: dict[str, Any], instance_uuid: Any, request_id: Any) -> dict[str, Any]:
        """Return an instance's fields with the state that this step saved last, if it saved one."""
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
