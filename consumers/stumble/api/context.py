"""What every route needs from the running app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from stumble.api.database import Database

if TYPE_CHECKING:
    from stumble.api.publication_hub import PublicationHub


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Connections and the publication hub of one running app."""

    database: Database
    feed: PublicationHub


def context(request: Request) -> ApiContext:
    """Return the running app's context."""
    result: ApiContext = request.app.state.context
    return result


Running = Annotated[ApiContext, Depends(context)]
