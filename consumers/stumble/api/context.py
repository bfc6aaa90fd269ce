"""What every route needs of the running app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from stumble.api.database import Database

if TYPE_CHECKING:
    from stumble.api.publication_hub import Feed


@dataclass(frozen=True, slots=True)
class Context:
    """Connections and the shared feed of one running app."""

    database: Database
    feed: Feed


def context(request: Request) -> Context:
    """Return the running app's context."""
    found: Context = request.app.state.context
    return found


Running = Annotated[Context, Depends(context)]
