"""Which version the store has, and which this program needs: asked without the migrations' own machinery."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from stumble.store.connect import StoreError, StoreUnavailableError, connect, shown

_FOLLOWS = re.compile(r'^down_revision = "(\w+)"', re.MULTILINE)
_VERSIONS = Path(__file__).parent / "migrations" / "versions"


def newest() -> str:
    """Return the version that this program's migrations lead to: the one that no other comes after."""
    found = _known()
    followed = {match[1] for text in found.values() if (match := _FOLLOWS.search(text))}
    (last,) = found.keys() - followed
    return last


def is_newer(version: str | None) -> bool:
    """Tell whether a store's version is one that this program does not know; numbers say nothing of their order."""
    return version is not None and version not in _known()


def newer(url: str, version: str) -> str:
    """Say that a store was written by a later release."""
    return f"The store {shown(url)} is at version {version}, which a newer stumble made: upgrade stumble here."


def _known() -> dict[str, str]:
    return {path.name.partition("_")[0]: path.read_text("utf-8") for path in _VERSIONS.glob("[0-9]*_*.py")}


def current(url: str) -> str | None:
    """Return the version of the store at `url`, None where there is no store yet.

    Raises `StoreUnavailableError` when there is no database, `StoreError` where it may not be looked at.
    """
    try:
        with connect(url) as session:
            row = session.execute("select version_num from stumble_kept.alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(url, error) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"The role of STUMBLE_DATABASE_URL may not use the store at {shown(url)}: "
            "`stumble check database` says what it lacks."
        ) from error
    return row[0] if row else None


def require_current(url: str) -> None:
    """Raise `StoreError` with the command to run unless the store at `url` has the newest version."""
    found, needed = current(url), newest()
    if is_newer(found):
        raise StoreError(newer(url, str(found)))
    if found != needed:
        raise StoreError(
            f"The store is at version {found or 'none'}, this program needs {needed}: run `stumble store migrate`."
        )
