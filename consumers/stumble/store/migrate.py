"""Bring a store to the newest version: `stumble store migrate`."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from stumble.store.connect import StoreError, StoreUnavailableError, shown
from stumble.store.version import is_newer, newer

if TYPE_CHECKING:
    from collections.abc import Iterator

#: One migration at a time, whoever starts it (a number of our own in PostgreSQL's advisory locks).
MIGRATION_LOCK = 0x57_0B_1E_01
_SCRIPTS = Path(__file__).with_name("migrations")


def migrate(url: str) -> tuple[str | None, str | None]:
    """Upgrade the store at `url`; returns the versions before and after.

    Safe to call from several processes at once. Raises `StoreUnavailableError` when there is no database,
    `StoreError` when a newer program made the store.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # the command says itself what it did
    with _connected(url) as connection:
        connection.exec_driver_sql("select pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        connection.exec_driver_sql("create schema if not exists stumble_kept")
        before = _current(connection)
        if is_newer(before):
            raise StoreError(newer(url, str(before)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, _current(connection)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


def _current(connection: sqlalchemy.Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": "stumble_kept"})
    return context.get_current_revision()


@contextmanager
def _connected(url: str) -> Iterator[sqlalchemy.Connection]:
    shown(url)  # says in a sentence where it is no address at all
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sqlalchemy.NullPool
    )
    try:
        with engine.begin() as connection:
            yield connection
    except (sqlalchemy.exc.OperationalError, psycopg.OperationalError) as error:
        raise StoreUnavailableError(url, error) from error
    finally:
        engine.dispose()
