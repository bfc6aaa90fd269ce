"""Whether the store's tables are those that this program needs.

A store's version is the number of its last migration. `migrate` writes the digest of the migrations beside it, since
migrations of a version that is not released yet are edited in place. Alembic is not imported here: it would cost each
process 25 MB of memory and 0.3 s at its start.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.store.connect import StoreError, StoreUnavailableError, connect, database_label
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_MIGRATE = "run `stumble store migrate`"
_DROP = "drop schema stumble_derived, stumble_durable cascade"
_DROP_OLDER = "drop schema stumble_derived, stumble_kept cascade"  # the name before version 0001


@dataclass(frozen=True, slots=True)
class StoreVersion:
    """The version of the store in a database; `number` and `digest` are None where no migration was completed."""

    number: str | None
    digest: str | None = None
    has_tables: bool = False


@dataclass(frozen=True, slots=True)
class VersionFault:
    """Why a store can't be used as it is: a clause about it, and what to do."""

    problem: str
    remedy: str
    #: Whether `migrate` can correct it.
    can_migrate: bool = False
    #: Whether a newer program made the store.
    is_newer: bool = False


def newest_version() -> str:
    """Return the version that this program needs."""
    return max(_statements())


def digest_of(number: str) -> str:
    """Return the digest of all migrations up to a version."""
    texts = (text for known, text in sorted(_statements().items()) if known <= number)
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def find_fault(result: StoreVersion) -> VersionFault | None:
    """Return why this program can't use a store, None where it can."""
    if result.number is None:
        if result.has_tables:
            return _development(_DROP_OLDER)
        return VersionFault("has no tables yet", _MIGRATE, can_migrate=True)
    if result.number not in _statements():
        return VersionFault(
            f"is at version {result.number}, which a newer stumble made", "upgrade stumble here", is_newer=True
        )
    if result.digest != digest_of(result.number):
        return _development(_DROP)
    if result.number != newest_version():
        problem = f"is at version {result.number}, this program needs {newest_version()}"
        return VersionFault(problem, _MIGRATE, can_migrate=True)
    return None


def read_version(connection: Connection[Any]) -> StoreVersion:
    """Return the version of the store in a database; raises what psycopg raises."""
    has_version, has_tables = connection.execute(query("check_for_tables")).fetchone() or (False, False)
    row = connection.execute(query("load_store_version")).fetchone() if has_version else None
    return StoreVersion(row[0], row[1], has_tables) if row else StoreVersion(None, has_tables=has_tables)


def current_version(url: str) -> StoreVersion:
    """Return the version of the store at `url`.

    Raises `StoreUnavailableError` when there is no database, `StoreError` where the role may not read it.
    """
    try:
        with connect(url) as session:
            return read_version(session)
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(url, error) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(
            f"The role of STUMBLE_DATABASE_URL may not use the store at {database_label(url)}: "
            "`stumble check database` shows which rights are missing."
        ) from error


def require_current(url: str) -> None:
    """Raise `StoreError` with what to do unless this program can use the store at `url`."""
    fault = find_fault(current_version(url))
    if fault is not None:
        raise StoreError(f"The store {database_label(url)} {fault.problem}: {fault.remedy}.")


def _development(statement: str) -> VersionFault:
    return VersionFault(
        "was made by a development version of stumble and cannot be upgraded",
        f"drop it (`{statement}`), then {_MIGRATE}, and projectors build it again from the topic; where `make run` "
        "made it, `make clean-state` deletes it",
    )


@cache
def _statements() -> dict[str, str]:
    """Return the SQL of each migration, by version."""
    return {path.name.partition("_")[0]: path.read_text("utf-8") for path in _VERSIONS.glob("[0-9]*_*.sql")}
