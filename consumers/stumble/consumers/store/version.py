"""Which version the store has, and which this program needs: asked without the migrations' own machinery."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from stumble.consumers.store.connect import StoreError, StoreUnavailableError, connect

_FOLLOWS = re.compile(r'^down_revision = "(\w+)"', re.MULTILINE)
_VERSIONS = Path(__file__).parent / "migrations" / "versions"


def newest() -> str:
    """Return the version that this program's migrations lead to: the one that no other comes after."""
    found = {path.name.partition("_")[0]: path.read_text("utf-8") for path in _VERSIONS.glob("[0-9]*_*.py")}
    followed = {match[1] for text in found.values() if (match := _FOLLOWS.search(text))}
    (last,) = found.keys() - followed
    return last


def current(url: str) -> str | None:
    """Return the version of the store at `url`, None where there is no store yet.

    Raises `StoreUnavailableError` when there is no database.
    """
    try:
        with connect(url) as session:
            row = session.execute("select version_num from stumble_kept.alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(url, error) from error
    return row[0] if row else None


def require_current(url: str) -> None:
    """Raise `StoreError` with the command to run unless the store at `url` has the newest version."""
    found, needed = current(url), newest()
    if found != needed:
        raise StoreError(
            f"The store is at version {found or 'none'}, this program needs {needed}: run `stumble store migrate`."
        )
