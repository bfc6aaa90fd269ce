"""Upgrades a store to the newest version: `stumble store migrate`."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config

from stumble.store.connect import StoreError, StoreUnavailableError, connect_without_limits, database_label
from stumble.store.incarnation import ensure_incarnation
from stumble.store.queries import query
from stumble.store.version import digest_of, find_fault, newest_version, read_version

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Number of the advisory lock in PostgreSQL that permits one migration at a time; stumble uses it for nothing else.
MIGRATION_LOCK = 0x57_0B_1E_01
_SCRIPTS = Path(__file__).with_name("migrations")


def migrate(url: str) -> tuple[str | None, str]:
    """Upgrade the store at `url`; returns the versions before and after. A new store begins its first incarnation.

    Several processes may call it at the same time. Raises `StoreUnavailableError` when there is no database,
    `StoreError` for a store that a newer program or a development version made.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # the command prints what it did
    with _connected(url) as connection:
        connection.exec_driver_sql("select pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        before = read_version(_session(connection))
        fault = find_fault(before)
        if fault is not None and not fault.can_migrate:
            raise StoreError(f"The store {database_label(url)} {fault.problem}: {fault.remedy}.")
        if fault is not None:
            connection.exec_driver_sql("create schema if not exists stumble_durable")
            config = Config()
            config.set_main_option("script_location", str(_SCRIPTS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql(f"comment on schema stumble_durable is '{digest_of(newest_version())}'")
            count = connection.exec_driver_sql(query("count_store_objects")).scalar_one()
            connection.exec_driver_sql(f"comment on schema stumble_derived is '{count}'")
            ensure_incarnation(_session(connection))
        return before.number, newest_version()


def _session(connection: sqlalchemy.Connection) -> psycopg.Connection[Any]:
    session = connection.connection.driver_connection
    assert isinstance(session, psycopg.Connection)
    return session


@contextmanager
def _connected(url: str) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect_without_limits(url, "stumble-migrate"),
        poolclass=sqlalchemy.NullPool,
    )
    try:
        with engine.begin() as connection:
            yield connection
    except (sqlalchemy.exc.OperationalError, psycopg.OperationalError) as error:
        raise StoreUnavailableError(url, error) from error
    finally:
        engine.dispose()
