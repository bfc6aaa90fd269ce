"""Filters of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from stumble.settings.types import Text, When

if TYPE_CHECKING:
    from stumble.deadletters.dead_letter import DeadLetter

State = Literal["WAITING", "REDRIVEN", "PARKED", "FOREIGN"]
Stage = Literal["signature", "decode", "model", "derive", "store"]


class DeadLetterFilter(BaseModel):
    """A filter; what is left out matches everything. Repeat stage, exception, action or partition for several."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: When | None = Field(None, description="Dead-lettered since: a duration back from now, or an ISO 8601 time.")
    until: When | None = Field(None, description="Dead-lettered before.")
    stage: list[Stage] | None = Field(
        None, max_length=5, description="Stage that rejected it: signature, decode, model, derive, store."
    )
    exception: list[Text] | None = Field(None, max_length=50, description="Exception class, with or without module.")
    reason: Text | None = Field(None, description="The exception's message contains this, in upper or lower case.")
    action: list[Text] | None = Field(None, max_length=50, description="Of this action, if the event can be decoded.")
    instance: UUID | None = Field(None, description="Of this server, by the record's key.")
    partition: list[int] | None = Field(None, max_length=1000, description="Partition of the topic it came from.")
    state: list[State] | None = Field(
        None,
        max_length=4,
        description="WAITING, REDRIVEN (sent again), PARKED (dead-lettered too often), FOREIGN (not stumble's).",
    )

    def matches(self, dead_letter: DeadLetter) -> bool:
        """Return whether a dead letter matches by its headers; action and state are checked separately."""
        return (
            self._matches_time(dead_letter)
            and (not self.stage or dead_letter.stage in self.stage)
            and (
                not self.exception
                or not {dead_letter.exception, dead_letter.short_exception}.isdisjoint(self.exception)
            )
            and (self.reason is None or self.reason.casefold() in dead_letter.reason.casefold())
            and (self.instance is None or dead_letter.key == str(self.instance).encode())
            and (
                not self.partition
                or (dead_letter.origin is not None and dead_letter.origin.partition in self.partition)
            )
        )

    def _matches_time(self, dead_letter: DeadLetter) -> bool:
        return (self.since is None or dead_letter.at >= self.since.timestamp() * 1000) and (
            self.until is None or dead_letter.at < self.until.timestamp() * 1000
        )
