"""Context managers that emit an action and its steps: ``with emitter.action(...) as a: with a.step(...):``."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from stumble.emitter.failure import describe_failure, failure_token

#: Compared by name: importing asyncio loads ssl, which a service may have to patch first.
_ASYNCIO_CANCELLED = "CancelledError"

Emit = Callable[[Mapping[str, Any]], bool]


class _Scope:
    """Emits START on entry; on exit END, or ERROR with the exception, which propagates to the caller."""

    def __init__(self, emit: Emit, fields: Mapping[str, Any], *, scope: str) -> None:
        self._emit = emit
        self._signal = "request" if scope == "REQUEST" else "step"
        self._fields = {**fields, "scope": scope}
        self._cancelled = False

    def emit_phase(self, phase: str, **fields: Any) -> bool:
        """Emit an event of this scope with further ``fields``; return False if it was refused."""
        source = {"kind": "LIBRARY", "event_type": self._signal, "signal": self._signal}
        return self._emit({"source": source, **self._fields, **fields, "phase": phase})

    def progress(self, **fields: Any) -> bool:
        """Emit PROGRESS with the fields known now (``dest_host``, ``attributes`` ...)."""
        return self.emit_phase("PROGRESS", **fields)

    def cancel(self) -> None:
        """Make the scope end as cancelled: a user stopped it."""
        self._cancelled = True

    def __enter__(self) -> Self:
        self.emit_phase("START")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cancelled or type(error).__name__ == _ASYNCIO_CANCELLED:
            self.emit_phase("END", attributes={**(self._fields.get("attributes") or {}), "outcome": "CANCELLED"})
        elif error is None:
            self.emit_phase("END")
        else:
            self.failed(error)

    def failed(self, error: BaseException) -> bool:
        """Emit ERROR with an exception; return False if the event was refused."""
        try:
            result = {"failure": describe_failure(error), "failure_id": failure_token(error)}
        except Exception:  # noqa: BLE001  # the exception's own methods may raise; the class is still known
            result = {"failure": {"exception": type(error).__name__}}
        return self.emit_phase("ERROR", **result)


class StepScope(_Scope):
    """One run of a step on one host."""

    def __init__(self, emit: Emit, fields: Mapping[str, Any], name: str, attempt: int | str | None) -> None:
        own: dict[str, Any] = {"step": name, "step_id": str(uuid.uuid4())}
        if attempt is not None:
            own["attempt_id"] = str(attempt)
        super().__init__(emit, {**fields, **own}, scope="STEP")


class ActionScope(_Scope):
    """One run of an action on one instance."""

    def __init__(self, emit: Emit, fields: Mapping[str, Any]) -> None:
        super().__init__(emit, fields, scope="REQUEST")

    def step(self, name: str, *, attempt: int | str | None = None, **fields: Any) -> StepScope:
        """Return a context manager for one run of a step; ``attempt`` is set if the caller numbers the runs."""
        return StepScope(self._emit, {**self._fields, **fields}, name, attempt)
