"""The store's migrations, run against a real PostgreSQL."""

import threading

import psycopg
import pytest
from alembic import command

from stumble.alerts import subscriptions
from stumble.store.connect import StoreError, StoreUnavailableError, connect
from stumble.store.migrate import _config, _connected, migrate
from stumble.store.version import newest, require_current

HEAD = newest()


def test_an_empty_database_becomes_a_store(database_url):
    assert migrate(database_url) == (None, HEAD)
    with connect(database_url) as session:
        assert session.execute("select count(*) from requests").fetchone() == (0,)
        assert session.execute("select count(*) from publications").fetchone() == (0,)


def test_a_second_run_changes_nothing(database_url):
    migrate(database_url)
    assert migrate(database_url) == (HEAD, HEAD)


def test_several_processes_may_migrate_at_once(database_url):
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


def test_an_old_store_is_told_with_the_command_that_mends_it(database_url):
    with pytest.raises(StoreError, match="run `stumble store migrate`"):
        require_current(database_url)


def test_a_store_of_a_newer_program_is_refused_by_an_old_one(database_url):
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update stumble_kept.alembic_version set version_num = '9999'")
    for old in (require_current, migrate):
        with pytest.raises(StoreError, match="a newer stumble made: upgrade stumble here"):
            old(database_url)


def test_subscriptions_and_messages_of_an_older_store_stay_as_they_are(database_url):
    migrate(database_url)
    with _connected(database_url) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
    with connect(database_url) as session:
        session.execute(
            "insert into subscriptions (id, url, body, kinds, match, secrets) values (gen_random_uuid(),"
            """ 'https://x.example', 'standard', '{failure,outcome}', '{"blame": ["USER"]}', '{whsec_x}')"""
        )
        session.execute(
            "insert into deliveries (subscription_id, message_id, publication_id, attempts)"
            " select id, gen_random_uuid(), 7, 3 from subscriptions"
        )
    assert migrate(database_url) == ("0003", HEAD)
    with connect(database_url) as session:
        (kept,) = subscriptions.read_all(session)
        assert (kept.kinds, kept.match.blame) == (("failure", "outcome"), ("USER",))
        assert (kept.rules, kept.severities) == ((), ())
        assert session.execute("select publication_id, attempts, alert from deliveries").fetchall() == [(7, 3, None)]


def test_no_database_is_one_sentence_without_the_password():
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1/none does not answer") as caught:
        migrate("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
