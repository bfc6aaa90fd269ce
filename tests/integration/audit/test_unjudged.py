"""What an audit cannot read on its host, it does not judge, and a repair refuses."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from stumble.store.connect import connect
from stumble.store.migrate import migrate
from stumble.testing.events import event, failure
from stumble.wire import codec
from stumble.wire.schemas import EVENT
from tests.support.command import CommandResult, stumble
from tests.support.projection import ProjectorTestbed, eventually
from tests.support.registry import NOT_FOUND, registry_with

pytestmark = pytest.mark.timeout(600)
SCHEMA_ID = 7
PATH = f"/schemas/ids/{SCHEMA_ID}"
VERSIONS = "/subjects/{}-value/versions"
KNOWN, FOREIGN = str(uuid.uuid4()), str(uuid.uuid4())
_TABLES = ("events", "requests", "failures", "revisions", "publications")


@dataclass
class RegistryStore:
    """A store of two servers' failures. The records of one need the registry; its address and its answers."""

    testbed: ProjectorTestbed
    url: str
    answers: dict[str, Any]

    def run(self, *words: str, has_registry: bool = True) -> CommandResult:
        extra = {"STUMBLE_KAFKA__SCHEMA_REGISTRY_URL": self.url} if has_registry else {}
        return stumble(*words, **self.testbed.environment(**extra))

    def counts(self) -> dict[str, int]:
        with connect(self.testbed.url) as session:
            rows = {name: session.execute(f"select count(*) from {name}").fetchone() for name in _TABLES}
        return {name: row[0] for name, row in rows.items() if row}

    def corrupt(self, statement: str, *parameters: Any) -> None:
        with connect(self.testbed.url) as session:
            assert session.execute(statement, parameters).rowcount > 0


def failing(instance: str) -> list[dict[str, Any]]:
    start = event(at=-60, instance_uuid=instance, request_id=f"req-{instance}")
    return [
        start,
        event(at=-30, instance_uuid=instance, request_id=f"req-{instance}", phase="ERROR", failure=failure()),
    ]


@pytest.fixture
def store(kafka, new_database):
    answers: dict[str, Any] = {PATH: {"schema": EVENT.json}}
    with registry_with(answers) as url:
        testbed = ProjectorTestbed(kafka, new_database(), partitions=1)
        answers[VERSIONS.format(testbed.topic)] = [1]
        migrate(testbed.url)
        try:
            testbed.produce(failing(KNOWN))
            for one in failing(FOREIGN):
                value = codec.frame_confluent(SCHEMA_ID, codec.encode_record(EVENT, one))
                testbed.send(value, FOREIGN.encode())
            testbed.send(codec.frame_confluent(SCHEMA_ID, b"no event"), b"x")
            testbed.flush()
            projector = testbed.start(STUMBLE_KAFKA__SCHEMA_REGISTRY_URL=url)
            eventually(testbed.lag)
            projector.terminate()
            assert projector.wait(60) == 0
            testbed.forget_producer()
            yield RegistryStore(testbed, url, answers)
        finally:
            testbed.stop()


def test_audit_without_the_registry_judges_only_what_it_can_read(store):
    complete = store.run("audit")
    assert (complete.returncode, "The store agrees with the topic." in complete.stdout) == (0, True), complete
    before = store.counts()
    assert (before["events"], before["failures"]) == (4, 2)

    ended = store.run("audit", "--json", has_registry=False)
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["differences"], document["unjudged"]) == (3, {}, 2), ended
    assert document["left_out"] == {
        "events of the store whose records cannot be read": 2,
        "requests with events whose records cannot be read": 1,
    }
    assert (document["unreadable"], document["dead_letters"]) == (3, 1)
    ended = store.run("audit", has_registry=False)
    assert ended.returncode == 3
    assert "2 events or records could not be judged (one of them: UnknownSchema: The schema of schema" in ended.stdout

    store.corrupt("update failures set reason = 'other' where instance_uuid = %s", KNOWN)
    ended = store.run("audit", "--json", has_registry=False)
    assert (ended.returncode, json.loads(ended.stdout)["differences"]) == (1, {"different": {"failure": 1}})
    for words in (("audit", "--repair"), ("store", "rebuild"), ("store", "rebuild", "--from-nothing")):
        refused = store.run(*words, has_registry=False)
        assert (refused.returncode, "Nothing was changed" in refused.stderr) == (1, True), refused
        assert "Traceback" not in refused.stderr
    assert store.counts() == before

    assert store.run("audit", "--repair", "--instance", KNOWN, has_registry=False).returncode == 0
    assert store.counts() | {"publications": before["publications"]} == before
    assert store.run("audit").returncode == 0


def test_record_that_only_another_reader_can_read_is_not_missing(store):
    store.corrupt("delete from events where kafka_offset = 3")
    ended = store.run("audit", "--json", has_registry=False)
    document = json.loads(ended.stdout)
    assert "record" not in document["differences"].get("missing", {}), document
    assert document["left_out"]["records that only another reader can read, and that are not dead letters"] == 1
    ended = store.run("audit", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["differences"]) == (1, {"missing": {"event": 1}})
    assert store.run("audit", "--repair").returncode == 0


def test_event_stored_with_the_schema_of_another_release_is_not_compared_by_its_bytes(store):
    store.corrupt(
        "update events set body = '\\xc301ffffffffffffffff'::bytea || substr(body, 11) where kafka_offset = 0"
    )
    ended = store.run("audit", "--json")
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["differences"]) == (0, {})
    assert document["left_out"] == {"events whose stored bytes have the schema of another release": 1}


def test_history_says_which_records_it_lacks(store):
    complete = store.run("replay", "--instance", FOREIGN)
    assert (complete.returncode, complete.stderr) == (0, "")
    ended = store.run("replay", "--instance", FOREIGN, has_registry=False)
    assert ended.returncode == 1
    assert "2 of its records cannot be read and are not shown, the first one at 0:2: UnknownSchema" in ended.stderr
    assert "has no other records" in ended.stderr


@pytest.mark.parametrize("answer", ["<title>Sign in</title>", {}, "lost"])
def test_partition_waits_while_another_page_answers_or_the_registry_lost_its_schemas(store, answer):
    store.answers |= {PATH: NOT_FOUND, VERSIONS.format(store.testbed.topic): []} if answer == "lost" else {PATH: answer}
    dead_letters = store.run("dlq", "ls", "--format", "json", has_registry=False)
    known, foreign = failing(KNOWN)[0], failing(FOREIGN)[0]
    store.testbed.send(codec.frame_confluent(SCHEMA_ID, codec.encode_record(EVENT, foreign)), FOREIGN.encode())
    store.testbed.produce([known])
    projector = store.testbed.start(STUMBLE_KAFKA__SCHEMA_REGISTRY_URL=store.url)
    expected = "lost its schemas" if answer == "lost" else "is no schema registry (status 200, "
    eventually(lambda: "" if expected in store.testbed.log_of(projector) else store.testbed.log_of(projector) or "-")
    assert store.counts()["events"] == 4
    store.answers |= {PATH: {"schema": EVENT.json}}
    eventually(store.testbed.lag)
    assert store.counts()["events"] == 6
    assert store.run("dlq", "ls", "--format", "json", has_registry=False).stdout == dead_letters.stdout
