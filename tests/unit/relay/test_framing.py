"""Schemas that producers wrote to their folders, and the texts of Kafka's errors."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from stumble.outbox import Envelope, OutboxRecord
from stumble.outbox.access import FolderFiles
from stumble.relay.framing import Framer, UnknownWriter, schema_in
from stumble.relay.sender import explain_error
from stumble.settings.kafka import KafkaSettings
from stumble.wire.encoder import Encoder
from stumble.wire.errors import NotAvro
from stumble.wire.schemas import EVENT, PRODUCER_STATUS, Schema, load_schema


@pytest.mark.parametrize("text", ["[]", "{", '{"type": "record", "fields": [{"type": "int"}]}'])
def test_invalid_schema_file_of_a_producer_is_reported_as_unknown(tmp_path: Path, text: str) -> None:
    fingerprint = bytes(8)
    (tmp_path / f"{fingerprint.hex()}.v9.avsc").write_text(text)
    with pytest.raises(UnknownWriter, match="is not a readable schema"):
        schema_in(FolderFiles(tmp_path), fingerprint)


def test_texts_of_an_envelope_are_cut(tmp_path: Path) -> None:
    text = b"\xff" * 65_000
    record = OutboxRecord(16, 200_000, Envelope(EVENT.fingerprint, 1, bytes(16), text, text, text), b"body")
    framed = Framer(KafkaSettings(bootstrap_servers="127.0.0.1:9")).frame("actions", FolderFiles(tmp_path), record)
    assert len(framed.key) == 1024
    assert max(len(value) for _, value in framed.headers) < 10_000


def schema_of_another_release(name: str = "later", kind: str = "string") -> Schema:
    definition = json.loads(EVENT.json)
    definition["fields"].append({"name": name, "type": ["null", kind], "default": None})
    return load_schema(json.dumps(definition), EVENT.version + 1)


LATER = schema_of_another_release()


def write_schema(folder: Path, schema: Schema, version: int = 9) -> None:
    for path in folder.glob(f"{schema.fingerprint.hex()}*"):
        path.unlink()
    (folder / f"{schema.fingerprint.hex()}.v{version}.avsc").write_text(schema.json)


def record_of(schema: Schema) -> OutboxRecord:
    body = Encoder(json.loads(schema.json)).encode({"host": "cmp1"})
    return OutboxRecord(0, len(body), Envelope(schema.fingerprint, 1, uuid.uuid4().bytes, b"key", b"svc:h"), body)


def test_record_is_sent_with_the_schema_with_which_it_was_checked(tmp_path: Path) -> None:
    framer, folder, record = Framer(KafkaSettings()), FolderFiles(tmp_path), record_of(LATER)
    write_schema(tmp_path, LATER, version=9)
    assert framer.decode(folder, record)["host"] == "cmp1"
    write_schema(tmp_path, LATER, version=8)
    assert dict(framer.frame("t", folder, record).headers)["ce_type"] == b"stumble.InstanceActionEvent.v9"


def test_record_that_was_not_checked_is_not_sent(tmp_path: Path) -> None:
    framer, folder = Framer(KafkaSettings()), FolderFiles(tmp_path)
    for schema in (LATER, PRODUCER_STATUS):
        with pytest.raises(UnknownWriter):
            framer.frame("t", folder, record_of(schema))
    with pytest.raises(UnknownWriter, match="unknown schema"):
        framer.decode(folder, record_of(LATER))
    write_schema(tmp_path, LATER)
    with pytest.raises(UnknownWriter, match="not checked"):
        framer.frame("t", folder, record_of(LATER))
    assert framer.decode(folder, record_of(LATER))["host"] == "cmp1"
    assert framer.frame("t", folder, record_of(LATER)).key == b"key"


def test_number_of_schemas_of_a_user_is_limited(tmp_path: Path) -> None:
    framer, folder = Framer(KafkaSettings()), FolderFiles(tmp_path)
    schemas = [schema_of_another_release(f"later{number}") for number in range(17)]
    for schema in schemas:
        write_schema(tmp_path, schema)
    for schema in schemas[:16]:
        framer.decode(folder, record_of(schema))
    with pytest.raises(UnknownWriter, match="restart the relay"):
        framer.decode(folder, record_of(schemas[16]))
    assert framer.frame("t", folder, record_of(schemas[0])).key == b"key"


def test_record_is_rejected_if_a_reader_might_not_end_with_its_schema(tmp_path: Path) -> None:
    text = LATER.json.replace('["null","string"],"default":null}]}', '["null",{"type":"array","items":"null"}]}]}')
    assert text != LATER.json
    (tmp_path / f"{LATER.fingerprint.hex()}.v9.avsc").write_text(text)
    for _ in range(2):
        with pytest.raises(NotAvro, match=r"does not support the schema .*: it has the type null"):
            Framer(KafkaSettings()).decode(FolderFiles(tmp_path), record_of(LATER))


def test_error_text_with_braces_is_explained_unchanged() -> None:
    assert explain_error(KafkaError(KafkaError.UNKNOWN, "a {b} c"), "actions") == "a {b} c"


def test_missing_topic_is_explained_with_its_name() -> None:
    assert explain_error(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "actions").startswith("topic actions does not")
