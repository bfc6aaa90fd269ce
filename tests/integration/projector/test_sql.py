"""Each named statement is valid in a migrated store, and frequent queries use an index."""

from __future__ import annotations

import re

import pytest
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus

from stumble.audit.stage import StagingTables
from stumble.store.connect import connect
from stumble.store.queries import load_queries

NAMES = re.compile(r"%\((\w+)\)[sb]")


#: COPY can't be prepared; the tests of the transaction run it.
PREPARED = sorted(name for name, text in load_queries().items() if not text.startswith("copy "))


@pytest.fixture(scope="module")
def session(template_database, new_database):
    with connect(new_database(template_database)) as connection:
        StagingTables(connection).create()  # some statements use temporary tables
        yield connection


@pytest.mark.parametrize("name", PREPARED)
def test_named_statement_can_be_prepared(session, name):
    text = load_queries()[name]
    query = PostgresQuery(Transformer(session))
    query.convert(text, dict.fromkeys(NAMES.findall(text)))
    result = session.pgconn.prepare(b"", query.query)
    assert result.status == ExecStatus.COMMAND_OK, result.error_message.decode()


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("select * from requests where request_id = 'r'", "requests_request_id"),
        (
            "select * from requests where instance_uuid = '11111111-1111-4111-8111-111111111111'::uuid",
            "requests_instance",
        ),
        ("select * from failures order by occurred_at desc, failure_id limit 50", "failures_recent"),
        ("select * from failures where fingerprint = 'v1:x' and occurred_at > now()", "failures_problem"),
        (
            "select * from publications where (incarnation, xid, id) > (1, '5', 5) order by 13, 14, 1 limit 5",
            "publications_cursor",
        ),
        ("select * from sightings where not closed and request_id = 'r'", "sightings_request"),
    ],
)
def test_query_uses_its_index(session, statement, index):
    session.execute("set enable_seqscan = off")
    plan = "\n".join(row[0] for row in session.execute(f"explain {statement}"))
    assert index in plan
