"""Resolves schema ids in a thread of its own, so that only the partitions that need an id wait for the registry."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from stumble.runtime.worker import Worker
from stumble.wire.errors import RegistryUnavailable

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

#: A caller waits this long for an answer, but not while an earlier question is not answered.
_PATIENCE_SECONDS = 1.0
#: Pause before ids are asked for again that the registry did not answer.
_RETRY_SECONDS = 2.0


class SchemaResolver(Worker):
    """Asks for one id at a time, and remembers that the registry does not answer.

    ``ask`` returns a schema's JSON text or raises, as ``Registry.resolve``. ``note`` gets whether the registry answers.
    """

    def __init__(self, ask: Callable[[int], str], note: Callable[[bool], None], log: logging.Logger) -> None:
        super().__init__("schema ids", log)
        self._ask = ask
        self._note = note
        self._changed = threading.Condition()
        self._wanted: list[int] = []
        #: Answers that no caller has taken yet.
        self._answers: dict[int, str | Exception] = {}
        self._fault = ""
        self._asked_at: float | None = None

    def resolve(self, schema_id: int) -> str:
        """Return the JSON text of a schema.

        Raises `RegistryUnavailable` if the registry does not answer soon or did not answer before, and what ``ask``
        raises. A later call returns the answer.
        """
        with self._changed:
            if schema_id not in self._answers:
                if schema_id not in self._wanted:
                    self._wanted.append(schema_id)
                    self._changed.notify_all()
                if not self._must_not_wait():
                    self._changed.wait_for(lambda: schema_id in self._answers, _PATIENCE_SECONDS)
            if (answer := self._answers.pop(schema_id, None)) is None:
                raise RegistryUnavailable(
                    self._fault or f"The registry has not answered yet for schema id {schema_id}."
                )
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run_once(self) -> float:
        """Ask for the id that waits longest."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._wanted, _PATIENCE_SECONDS):
                return 0.0
            schema_id = self._wanted[0]
            self._asked_at = time.monotonic()
        answer: str | Exception
        try:
            answer = self._ask(schema_id)
        except RegistryUnavailable as error:
            with self._changed:
                self._fault, self._asked_at = str(error), None
                self._wanted = [*self._wanted[1:], schema_id]
            self._note(False)  # a state, as the parameter's description says
            return _RETRY_SECONDS
        except Exception as error:  # noqa: BLE001  # the caller gets it
            answer = error
        with self._changed:
            self._fault, self._asked_at = "", None
            self._wanted.remove(schema_id)
            self._answers[schema_id] = answer
            self._changed.notify_all()
        self._note(True)
        return 0.0

    def _must_not_wait(self) -> bool:
        """Whether the registry did not answer the last question, or lets the current one wait for long."""
        is_slow = self._asked_at is not None and time.monotonic() - self._asked_at > _PATIENCE_SECONDS / 2
        return bool(self._fault) or is_slow
