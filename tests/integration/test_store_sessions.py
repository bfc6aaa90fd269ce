"""Sessions depend on nothing that they do not set: defaults of databases, encodings, poolers, standbys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from stumble.local.postgres import LocalPostgres
from stumble.store import connect as store_connect
from stumble.store.connect import StoreUnavailableError, connect
from stumble.store.migrate import migrate
from stumble.store.rights import describe_store_error
from tests.support.api_fixtures import running_api
from tests.support.asking import HTTP_TIMEOUT, get
from tests.support.command import stumble
from tests.support.pgbouncer import pgbouncer
from tests.support.projection import EventWriter, stream
from tests.support.rows import Store

pytestmark = pytest.mark.timeout(240)
#: Valid values that change the meaning of statements, the format of their results, or who may write.
DEFAULTS = {
    "client_encoding": "'LATIN1'",
    "datestyle": "'German, DMY'",
    "intervalstyle": "'iso_8601'",
    "timezone": "'Asia/Kathmandu'",
    "bytea_output": "'escape'",
    "extra_float_digits": "-10",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "default_transaction_isolation": "'serializable'",
    "search_path": "'pg_catalog'",
    "idle_session_timeout": "'1min'",
}
NAME = "Zeitüberschreitung 日本"


@pytest.fixture
def own_database(_postgres_url: str) -> Iterator[Callable[[str], str]]:
    """Return a function that creates a database with the given options; returns its URL."""
    made = []
    with psycopg.connect(_postgres_url, autocommit=True) as session:

        def create(options: str) -> str:
            name = f"d{uuid.uuid4().hex[:12]}"
            session.execute(f"create database {name} template template0 {options}")
            made.append(name)
            return f"{_postgres_url.rpartition('/')[0]}/{name}"

        yield create
        for name in made:
            session.execute(f"drop database {name} with (force)")


def use_store(url: str) -> None:
    """Migrate, write events and rows with texts of any script, and read them through the API and a command."""
    migrate(url)
    with closing(EventWriter(url)) as writer:
        assert writer.write(item.event for item in stream(events=300)).events > 100
    store = Store(url)
    failure = store.failure(store.request(display_name=NAME), display_name=NAME)
    store.connection.close()
    with running_api(url) as api:
        answer = get(f"{api}/v1/instances/{failure['instance_uuid']}")
        assert answer.status_code == 200, answer.text
        assert NAME in answer.text
        assert get(f"{api}/readyz").status_code == 200
        for path in ("/v1/failures", "/v1/problems", "/v1/alerts", "/v1/sightings", "/"):
            assert get(api + path).status_code == 200, path
        assert "stumble_api_store_up 1.0" in get(f"{api}/metrics").text
    result = stumble("check", "database", "--json", STUMBLE_DATABASE_URL=url)
    says = [item["says"] for item in json.loads(result.stdout)["checks"][0]["findings"] if item["level"] != "fine"]
    assert says == ["fsync is off: a crash of its host can destroy the store"]  # the server of the tests


def test_defaults_of_the_database_change_nothing(database_url: str) -> None:
    name = database_url.rpartition("/")[2]
    with psycopg.connect(database_url, autocommit=True) as session:
        for setting, value in DEFAULTS.items():
            session.execute(f"alter database {name} set {setting} = {value}")
    use_store(database_url)
    with connect(database_url) as session:
        for setting, value in DEFAULTS.items():
            row = session.execute("select current_setting(%s)", (setting,)).fetchone()
            assert row is not None
            assert row[0] != value.strip("'"), setting


@pytest.mark.parametrize("variable", ["PGDATESTYLE", "PGTZ", "PGCLIENTENCODING", "PGOPTIONS"])
def test_variables_of_libpq_change_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    values = {"PGDATESTYLE": "German", "PGTZ": "Asia/Kathmandu", "PGCLIENTENCODING": "LATIN1"}
    monkeypatch.setenv(variable, values.get(variable, "-c datestyle=German -c timezone=Asia/Kathmandu"))
    with connect(database_url) as session:
        row = session.execute("select now()::text, %s::text, current_setting('client_encoding')", (NAME,)).fetchone()
    assert row is not None
    assert row[0].endswith("+00")
    assert row[0][4] == "-"
    assert row[1:] == (NAME, "UTF8")


def test_options_of_the_url_set_time_limits(database_url: str) -> None:
    with connect(f"{database_url}?options=-c%20statement_timeout%3D7s") as session:
        row = session.execute("select current_setting('statement_timeout'), current_setting('lock_timeout')").fetchone()
    assert row == ("7s", "3s")


def test_database_of_encoding_sql_ascii_works(own_database: Callable[[str], str]) -> None:
    use_store(own_database("encoding 'SQL_ASCII' locale_provider libc locale 'C'"))


def test_database_of_another_encoding_is_refused(own_database: Callable[[str], str]) -> None:
    url = own_database("encoding 'LATIN1' locale_provider libc locale 'C'")
    with pytest.raises(StoreUnavailableError, match=r"encoding LATIN1.*createdb --template template0 --encoding UTF8"):
        migrate(url)
    result = stumble("store", "migrate", STUMBLE_DATABASE_URL=url)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    result = stumble("check", "database", STUMBLE_DATABASE_URL=url)
    assert result.returncode == 1
    assert "encoding LATIN1" in result.stdout


@pytest.mark.parametrize("ignored", ["extra_float_digits", "extra_float_digits,options"])
def test_pooler_in_session_mode_works(database_url: str, tmp_path: Path, ignored: str) -> None:
    with pgbouncer(tmp_path, database_url, "session", ignore_startup_parameters=ignored) as url:
        use_store(url)


def test_pooler_in_transaction_mode_is_refused(database_url: str, tmp_path: Path) -> None:
    migrate(database_url)
    with pgbouncer(tmp_path, database_url, "transaction", ignore_startup_parameters="options") as url:
        for open_session in (connect, migrate):
            with pytest.raises(StoreUnavailableError, match=r"pooler in transaction mode.*pool_mode = session"):
                open_session(url)
        result = stumble("check", "database", STUMBLE_DATABASE_URL=url)
        assert result.returncode == 1
        assert "a pooler in transaction mode" in result.stdout
        with running_api(url) as api:
            for path in ("/v1/failures", "/readyz"):
                answer = httpx.get(api + path, timeout=HTTP_TIMEOUT)
                assert answer.status_code == 503
                assert "pooler in transaction mode" in answer.text


def test_pooler_that_refuses_options_of_the_url_is_reported_with_what_to_do(database_url: str, tmp_path: Path) -> None:
    with pgbouncer(tmp_path, database_url, "session") as url:
        result = stumble("check", "database", STUMBLE_DATABASE_URL=f"{url}?options=-c%20statement_timeout%3D7s")
    assert result.returncode == 1
    assert "remove `options` from STUMBLE_DATABASE_URL" in result.stdout


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalPostgres, LocalPostgres]]:
    """A primary with a migrated store, and a standby that has a copy of it."""
    folder = tmp_path_factory.mktemp("servers")
    primary, standby = LocalPostgres(folder / "primary", fsync=False), LocalPostgres(folder / "standby", fsync=False)
    try:
        primary.start()
        migrate(primary.create_database("stumble"))
        primary.stop()
        (folder / "standby").mkdir()
        for name in ("postgres", "postgres.password"):
            subprocess.run(["cp", "-a", folder / "primary" / name, folder / "standby" / name], check=True, timeout=60)
        signal_file = folder / "standby/postgres/standby.signal"
        signal_file.touch()
        owner = (folder / "standby/postgres").stat()
        os.chown(signal_file, owner.st_uid, owner.st_gid)
        standby.start()
        primary.start()
        yield primary, standby
    finally:
        for server in (primary, standby):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def address(server: LocalPostgres) -> str:
    return server.url("stumble").rpartition("@")[2].partition("/")[0]


def test_writer_uses_the_primary_where_a_standby_is_listed_first(servers: tuple[LocalPostgres, LocalPostgres]) -> None:
    primary, standby = servers
    url = primary.url("stumble").replace(address(primary), f"{address(standby)},{address(primary)}")
    with connect(url) as session:
        session.execute("delete from problems")
        assert session.info.port == int(address(primary).partition(":")[2])
    with connect(url, writes=False) as session:
        assert session.info.port == int(address(standby).partition(":")[2])
    migrate(url)
    with closing(EventWriter(url)) as writer:
        assert writer.write(item.event for item in stream(events=300)).events > 100
    result = stumble("check", "database", STUMBLE_DATABASE_URL=url)
    assert "standby" not in result.stdout


def test_standby_alone_is_named_by_every_part(servers: tuple[LocalPostgres, LocalPostgres]) -> None:
    url = servers[1].url("stumble")
    with connect(url) as session, pytest.raises(psycopg.Error) as caught:
        session.execute("delete from problems")
    assert "this is a standby, which accepts no writes" in describe_store_error(caught.value, "projector")
    result = stumble("check", "database", STUMBLE_DATABASE_URL=url)
    assert result.returncode == 1
    assert "this is a standby, which accepts no writes" in result.stdout
    with running_api(url) as api:
        answer = httpx.post(f"{api}/v1/subscriptions", json={"url": "http://192.0.2.1/"}, timeout=HTTP_TIMEOUT)
        assert answer.status_code == 503
        assert "this is a standby, which accepts no writes" in answer.json()["detail"]


def test_servers_that_are_all_standbys_are_reported(servers: tuple[LocalPostgres, LocalPostgres]) -> None:
    standby = servers[1]
    url = standby.url("stumble").replace(address(standby), f"{address(standby)},{address(standby)}")
    result = stumble("check", "database", STUMBLE_DATABASE_URL=url)
    assert result.returncode == 1
    assert "every server that it names is a standby" in result.stdout


def test_database_that_is_set_to_be_read_only_is_not_written_and_reported(database_url: str) -> None:
    migrate(database_url)
    with connect(database_url) as session:
        session.execute(f"alter database {database_url.rpartition('/')[2]} set default_transaction_read_only = on")
    with connect(database_url) as session, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("delete from problems")
    assert "is set to be read-only" in " ".join(
        stumble("check", "database", STUMBLE_DATABASE_URL=database_url).stdout.split()
    )


def test_every_session_is_opened_by_one_module() -> None:
    root = Path(store_connect.__file__).parents[2]
    openers: Any = ("psycopg.connect(", "Connection.connect(", "ConnectionPool(", "create_engine(")
    modules = {path.name for path in root.rglob("*.py") if any(word in path.read_text("utf-8") for word in openers)}
    assert modules == {"connect.py", "session.py", "migrate.py"}
