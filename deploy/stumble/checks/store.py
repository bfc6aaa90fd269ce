"""A session with the store, for checks that need one."""

from __future__ import annotations

from typing import Any

import psycopg

from stumble.checks.model import CheckContext, CheckedElsewhere
from stumble.store.connect import StoreUnavailableError, connect

__all__ = ["open_session"]


def open_session(scope: CheckContext) -> psycopg.Connection[Any]:
    """Open a session. Raises `CheckedElsewhere` if that fails: the check `database` reports the reason."""
    try:
        return connect(scope.database, application="stumble-check")
    except StoreUnavailableError as error:
        raise CheckedElsewhere(
            "database", str(error).removesuffix("."), error.remedy or "start it, or correct STUMBLE_DATABASE_URL"
        ) from None
