"""Each process as a database role of its own: with the rights that `stumble store grant` gives, and without them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from psycopg.errors import InsufficientPrivilege

from stumble.store.connect import connect
from stumble.store.partitions import EventPartitions, create_partition
from stumble.store.retention import Retention, delete_expired
from tests.support.api_fixtures import running_api
from tests.support.asking import HTTP_TIMEOUT, get
from tests.support.command import stumble
from tests.support.projection import ProjectorTestbed, eventually, stream

pytestmark = pytest.mark.timeout(300)
PASSWORD = "of-a-test"


@pytest.fixture
def new_role(store_url: str) -> Iterator[Callable[..., str]]:
    """Create a role with the rights of some processes; returns the URL of the store for it."""
    made = []
    with connect(store_url) as session:

        def create(*processes: str, **options: Any) -> str:
            role = f"r{uuid.uuid4().hex[:8]}"
            made.append(role)
            session.execute(f"create role {role} login password '{PASSWORD}'")
            for process in processes:
                result = stumble("store", "grant", process, role, STUMBLE_DATABASE_URL=store_url)
                assert result.returncode == 0, result.stderr
            if options.get("reader"):
                session.execute(f"grant usage on schema stumble_derived, stumble_durable to {role}")
                for schema in ("stumble_derived", "stumble_durable"):
                    session.execute(f"grant select on all tables in schema {schema} to {role}")
            parts = urlsplit(store_url)
            return f"postgresql://{role}:{PASSWORD}@{parts.hostname}:{parts.port}{parts.path}"

        yield create
        for role in made:
            session.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'")
            session.execute(f"drop owned by {role}")
            session.execute(f"drop role {role}")


def count(url: str, statement: str) -> int:
    with connect(url) as session:
        row = session.execute(statement.encode()).fetchone()
        assert row is not None
        return int(row[0])


def test_each_process_works_with_the_rights_that_the_command_grants(
    testbed: ProjectorTestbed, store_url: str, new_role: Callable[..., str]
) -> None:
    events = [item.event for item in stream(events=300)]
    testbed.start("projector", STUMBLE_DATABASE_URL=new_role("projector"))
    testbed.start("alerter", STUMBLE_DATABASE_URL=new_role("alerter"))
    testbed.produce(events)
    testbed.wait_until_stored(events)
    assert count(store_url, "select count(*) from pg_inherits where inhparent = 'events'::regclass") > 2
    last = "select count(*) from publications p where not exists (select from cursors c where c.xid >= p.xid)"
    eventually(lambda: count(store_url, last))
    problem = "select count(*) from problems"
    eventually(lambda: "no problem yet" if not count(store_url, problem) else "")
    kafka = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": testbed.kafka, "STUMBLE_KAFKA__TOPIC_PREFIX": testbed.prefix}
    with running_api(new_role("api"), **kafka) as api, httpx.Client(base_url=api, timeout=HTTP_TIMEOUT) as client:
        paths = ("/", "/v1/failures", "/v1/problems", "/v1/alerts", "/v1/subscriptions", "/v1/sightings", "/readyz")
        for path in (*paths, "/v1/dead-letters", "/v1/dead-letters/stats"):
            assert client.get(path).status_code == 200, path
        assert "stumble_api_store_up 1.0" in client.get("/metrics").text
        fingerprint = client.get("/v1/problems").json()["items"][0]["fingerprint"]
        for word, body in (("resolve", {}), ("mute", {"duration": "1h"}), ("unmute", {})):
            assert client.post(f"/v1/problems/{fingerprint}/{word}", json=body).status_code == 200
        made = client.post("/v1/subscriptions", json={"url": "http://192.0.2.1/"})
        assert made.status_code == 201, made.text
        for word in ("test", "rotate", "enable"):
            assert client.post(f"/v1/subscriptions/{made.json()['id']}/{word}").status_code == 200
        assert client.delete(f"/v1/subscriptions/{made.json()['id']}").status_code == 200
        assert client.post("/v1/dead-letters/redrive", json={}).status_code == 200


def test_roles_of_the_plan_need_no_superuser_and_the_auditor_may_only_read(
    testbed: ProjectorTestbed, new_role: Callable[..., str], database_url: str
) -> None:
    owner, database = new_role(), urlsplit(database_url)

    def as_role(url: str) -> str:
        return f"{url.rpartition('/')[0]}{database.path}"

    with connect(database_url) as session:
        session.execute(f"grant create on database {database.path[1:]} to {urlsplit(owner).username}")
    environment = {
        "STUMBLE_DATABASE_URL": as_role(owner),
        "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": testbed.kafka,
        "STUMBLE_KAFKA__TOPIC_PREFIX": testbed.prefix,
    }
    assert stumble("store", "migrate", **environment).returncode == 0
    projector, auditor = new_role(), new_role()
    for process, url in (("projector", projector), ("auditor", auditor)):
        granted = stumble("store", "grant", process, str(urlsplit(url).username), **environment)
        assert granted.returncode == 0, granted.stderr
    events = [item.event for item in stream(events=300)]
    testbed.start("projector", STUMBLE_DATABASE_URL=as_role(projector))
    testbed.produce(events)
    different = len({event["event_id"] for event in events})
    eventually(lambda: different - count(as_role(owner), "select count(*) from events"))
    environment["STUMBLE_DATABASE_URL"] = as_role(auditor)
    result = stumble("audit", **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    result = stumble("check", "database", "--all", **environment)
    assert "may only read: enough for the auditor" in result.stdout
    with connect(as_role(auditor)) as session:
        for schema, table in session.execute(
            "select schemaname, tablename from pg_tables where schemaname like 'stumble%'"
        ).fetchall():
            with pytest.raises(InsufficientPrivilege):
                session.execute(f"delete from {schema}.{table}".encode())


def test_dry_run_of_grant_prints_the_statements_and_needs_no_database() -> None:
    unreachable = "postgresql://127.0.0.1:1/x"
    result = stumble("store", "grant", "alerter", "a role", "--dry-run", STUMBLE_DATABASE_URL=unreachable)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == 'grant usage on schema "stumble_derived", "stumble_durable" to "a role";'
    assert '"leases"' in lines[2]
    assert all(line.endswith(";") for line in lines)


def test_projector_role_drops_partitions_and_owns_no_table(store_url: str, new_role: Callable[..., str]) -> None:
    day = (datetime.now(UTC) - timedelta(days=20) - datetime(1970, 1, 1, tzinfo=UTC)).days
    with closing(connect(new_role("projector"))) as session:
        create_partition(session, day)
        create_partition(session, day)
        inherited = "select count(*) from pg_inherits where inhparent = 'events'::regclass"
        before = count(store_url, inherited)
        delete_expired(session, EventPartitions(5), Retention(events=5))
        assert count(store_url, inherited) == before - 1
        assert session.execute("select count(*) from pg_class where pg_get_userbyid(relowner) = user").fetchone() == (
            0,
        )
    with (
        closing(connect(new_role("api"))) as session,
        pytest.raises(Exception, match="permission denied for table events"),
    ):
        create_partition(session, day)


def test_missing_right_is_reported_with_the_command_that_grants_it(
    testbed: ProjectorTestbed, new_role: Callable[..., str]
) -> None:
    url = new_role(reader=True)
    processes = {name: testbed.start(name, STUMBLE_DATABASE_URL=url) for name in ("projector", "alerter")}
    with running_api(url) as api:
        assert get(f"{api}/v1/failures").status_code == 200
        assert get(f"{api}/v1/subscriptions").status_code == 200
        answer = httpx.post(f"{api}/v1/subscriptions", json={"url": "http://192.0.2.1/"}, timeout=HTTP_TIMEOUT)
        assert answer.status_code == 503
        detail = answer.json()["detail"]
        assert "permission denied for table subscriptions; it needs select, insert, update, delete on it" in detail
        assert "`stumble store grant api ROLE`" in detail

    def silent() -> list[str]:
        return [
            name for name, process in processes.items() if f"store grant {name} ROLE`" not in testbed.log_of(process)
        ]

    eventually(silent)


def test_grant_of_a_role_that_is_missing_or_by_another_than_the_owner_is_one_sentence(
    store_url: str, new_role: Callable[..., str]
) -> None:
    result = stumble("store", "grant", "api", "nobody_here", STUMBLE_DATABASE_URL=store_url)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "There is no role nobody_here" in result.stderr
    result = stumble("store", "grant", "api", "postgres", STUMBLE_DATABASE_URL=new_role(reader=True))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "set STUMBLE_DATABASE_URL to its owner" in result.stderr
