"""Query parameters, checked before the store is queried."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from stumble.api.cursors import PageCursor
from stumble.outcome.records import Blame, Outcome
from stumble.settings.types import Text, When

MAX_LIMIT = 500
DEFAULT_LIMIT = 50


def _cursor(text: str) -> str:
    PageCursor.decode(text)
    return text


Cursor = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{32}$"), AfterValidator(_cursor)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Largest number of items.")]


class Paged(BaseModel):
    """Which page."""

    # An unknown parameter is an error: otherwise a misspelled filter would return everything.
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = Field(None, description="From `next` of the previous page.")

    def sort_key(self) -> dict[str, Any]:
        """`at` and `id` of the row after which the page starts; null for the first page."""
        cursor = PageCursor.decode(self.cursor) if self.cursor else None
        return {"at": cursor.at if cursor else None, "id": cursor.id if cursor else None}


class FailureFilter(BaseModel):
    """Which failures. Repeat action, blame, exception or host to allow several values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: When | None = Field(None, description="Since this time: a duration back from now, or an ISO 8601 time.")
    until: When | None = Field(None, description="Before this time.")
    action: list[Text] | None = Field(None, max_length=50, description="In Nova's spelling: create, live-migration.")
    instance: UUID | None = Field(None, description="Of this server.")
    project: Text | None = Field(None, description="Of servers that this project owns.")
    blame: list[Blame] | None = Field(None, max_length=6, description="Who can fix it.")
    exception: list[Text] | None = Field(None, max_length=50, description="Root exception class.")
    host: list[Text] | None = Field(None, max_length=50, description="Host on which it happened.")
    problem: Text | None = Field(None, description="Of the problem with this fingerprint.")
    request: Text | None = Field(None, description="Of this request id or global request id.")


class FailureQuery(FailureFilter, Paged):
    """Which failures, and which page of them."""


class RequestQuery(Paged):
    """Which requests of a server, and which page of them."""

    instance: UUID = Field(description="Of this server.")
    action: list[Text] | None = Field(None, max_length=50, description="In Nova's spelling.")
    outcome: list[Outcome] | None = Field(None, max_length=6)
    since: When | None = Field(None, description="Started since: a duration back from now, or an ISO 8601 time.")
    until: When | None = Field(None, description="Started before.")
