"""The migrations of the store, run on a real PostgreSQL."""

import re
import threading
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

from stumble.store import version
from stumble.store.connect import StoreError, StoreUnavailableError, connect
from stumble.store.migrate import migrate
from stumble.store.version import StoreVersion, current_version, digest_of, newest_version, require_current

HEAD = newest_version()


def test_migration_of_an_empty_database_creates_the_store(database_url):
    assert migrate(database_url) == (None, HEAD)
    with connect(database_url) as session:
        assert session.execute("select count(*) from requests").fetchone() == (0,)
        assert session.execute("select count(*) from publications").fetchone() == (0,)


def test_second_migration_changes_nothing(database_url):
    migrate(database_url)
    assert migrate(database_url) == (HEAD, HEAD)


def test_concurrent_migrations_succeed(database_url):
    failures = []

    def run():
        try:
            migrate(database_url)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    require_current(database_url)


def test_database_without_a_store_is_refused_with_the_command_to_run(database_url):
    with pytest.raises(StoreError, match="run `stumble store migrate`"):
        require_current(database_url)


def test_store_of_a_newer_program_is_refused(database_url):
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update stumble_durable.alembic_version set version_num = '9999'")
    for old in (require_current, migrate):
        with pytest.raises(StoreError, match="a newer stumble made: upgrade stumble here"):
            old(database_url)


def test_version_is_the_head_of_alembic_and_digest_belongs_to_it(database_url):
    migrate(database_url)
    assert ScriptDirectory(str(Path(version.__file__).with_name("migrations"))).get_current_head() == HEAD
    assert current_version(database_url) == StoreVersion(HEAD, digest_of(HEAD), has_tables=True)


@pytest.mark.parametrize(
    "statement",
    [
        "comment on schema stumble_durable is 'another digest'",
        "comment on schema stumble_durable is null",
        "alter schema stumble_durable rename to stumble_kept",
    ],
)
def test_store_of_a_development_version_is_refused_and_works_once_dropped(database_url, statement):
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement)
        for command in (require_current, migrate):
            with pytest.raises(StoreError, match="made by a development version of stumble") as caught:
                command(database_url)
        advice = re.search("`(drop schema .*?)`", str(caught.value))
        assert advice is not None
        connection.execute(advice[1])
    assert migrate(database_url) == (None, HEAD)
    require_current(database_url)


def test_unreachable_database_is_one_sentence_without_the_password():
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1/none does not answer") as caught:
        migrate("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
