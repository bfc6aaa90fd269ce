"""Schemas that producers wrote to their folders, and the texts of Kafka's errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from stumble.outbox import Envelope, OutboxRecord
from stumble.outbox.access import FolderFiles
from stumble.relay.framing import Framer, UnknownWriter, schema_in
from stumble.relay.sender import explain_error
from stumble.settings.kafka import KafkaSettings
from stumble.wire.schemas import EVENT


@pytest.mark.parametrize("text", ["[]", "{", '{"type": "record"}', '{"type": "nothing", "name": "a.B"}'])
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


def test_error_text_with_braces_is_explained_unchanged() -> None:
    assert explain_error(KafkaError(KafkaError.UNKNOWN, "a {b} c"), "actions") == "a {b} c"


def test_missing_topic_is_explained_with_its_name() -> None:
    assert explain_error(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "actions").startswith("topic actions does not")
