"""Rows, payloads and statements made from the declaration of a record, and the contracts that must agree with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stumble.api import models
from stumble.ingest.payload import failure_payload, outcome_payload
from stumble.ingest.rows import failure_row
from stumble.outcome.columns import Readers, fields_of
from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import fact_of
from stumble.outcome.records import FAILURE_ROW, RequestRecord
from stumble.store import migrate
from stumble.store.columns import column_lists
from stumble.store.queries import load_queries
from stumble.testing.events import decoded
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME

#: Columns and fields that the store and the alerter add to a record.
ADDED_TO_ROW = {"kafka_partition", "updated_at", "failure_count", "version"}
ADDED_TO_PUBLICATION = {"revision", "correction", "status", "replaced_by", "published_at"}


@pytest.fixture
def request_record() -> RequestRecord:
    failed = {"exception": "NoValidHost", "message": "no host", "reason": "no host", "blame": "CAPACITY"}
    events = [decoded(), decoded(at=1, phase="ERROR", signal="action_finish", failure=failed)]
    (record,) = derive_requests(events[0]["instance_uuid"], [fact_of(one) for one in events])
    assert len(record.failures) == 1
    return record


def test_failure_row_has_every_declared_column(request_record):
    row = failure_row(request_record, request_record.failures[0], 3)
    assert set(row) == {field.name for field in FAILURE_ROW} | {"kafka_partition"}


@pytest.mark.parametrize(("schema", "payload"), [(ACTION_FAILED, failure_payload), (ACTION_OUTCOME, outcome_payload)])
def test_payload_has_the_fields_of_its_avro_schema(request_record, schema, payload):
    in_schema = {field["name"] for field in json.loads(schema.json)["fields"]}
    records = (request_record, request_record.failures[0]) if payload is failure_payload else (request_record,)
    assert set(payload(*records)) == in_schema - ADDED_TO_PUBLICATION


@pytest.mark.parametrize(("table", "declared"), [("failures", FAILURE_ROW), ("requests", fields_of(RequestRecord))])
def test_migration_creates_every_declared_column(table, declared):
    ddl = (Path(migrate.__file__).parent / "migrations" / "versions" / "0001_store.sql").read_text()
    (body,) = re.findall(rf"create table stumble_derived\.{table} \((.*?)\n\)", ddl, re.DOTALL)
    created = dict(re.findall(r"^\s+(\w+)\s+([a-z]+(?:\[\])?)", body, re.MULTILINE))
    assert {name: type_ for name, type_ in created.items() if name not in ADDED_TO_ROW} == {
        field.name: field.column.sql for field in declared
    }


@pytest.mark.parametrize(
    ("model", "declared"), [(models.Failure, FAILURE_ROW), (models.Request, fields_of(RequestRecord))]
)
def test_api_model_shows_every_readable_field_and_no_other(model, declared):
    readable = {field.name for field in declared if field.column.readers is not Readers.NOBODY}
    made_by_the_api = {"final", "updated_at", "failure_count", "failures", "message"}
    assert set(model.model_fields) - made_by_the_api == readable


def test_statements_contain_no_placeholder_without_a_value():
    assert [name for name, text in load_queries().items() if re.search(r"\{\w+\.\w+\}", text)] == []
    assert "to_timestamp(n.occurred_at::float8 / 1e6) as occurred_at" in column_lists()["failure.selected"]
