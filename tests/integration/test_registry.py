"""The contract with a real registry: any Avro client reads the records, incompatible schemas are rejected."""

import io
import json
import warnings
from contextlib import closing

import pytest
from fastavro import schemaless_writer

from stumble.local.registry import LocalRegistry
from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry, SchemaRejected
from stumble.wire import codec, schemas
from stumble.wire.errors import RegistryUnavailable, UnknownSchema
from stumble.wire.schemas import load_schema

with warnings.catch_warnings(record=True):  # a library of the client emits deprecation warnings despite the filters
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    server = LocalRegistry(tmp_path_factory.mktemp("registry"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def registry(url):
    with closing(Registry(KafkaSettings(schema_registry_url=url))) as registry:
        yield registry


@pytest.mark.parametrize("schema", schemas.ALL, ids=lambda schema: schema.name)
def test_avro_client_reads_records_of_every_schema(url, registry, schema):
    topic = f"any-{schema.name}"
    schema_id = registry.register(topic, schema)
    assert registry.register(topic, schema) == schema_id
    value = codec.frame_confluent(schema_id, codec.encode_record(schema, {}))
    with SchemaRegistryClient({"url": url}) as client:
        decoded = AvroDeserializer(client)(value, SerializationContext(topic, MessageField.VALUE))
    assert set(decoded) == {item["name"] for item in json.loads(schema.json)["fields"]}
    with closing(Registry(KafkaSettings(schema_registry_url=url))) as new_registry:
        assert codec.Decoder(schema, new_registry.resolve).decode(value) == codec.decode_record(schema, value[5:])


def test_full_transitive_accepts_a_new_field_and_rejects_a_changed_one(registry):
    registry.require_full_transitive("gate")
    registry.register("gate", schemas.EVENT)
    extended = json.loads(schemas.EVENT.json)
    extended["fields"].append({"name": "more", "doc": "x", "type": ["null", "string"], "default": None, "maxBytes": 9})
    registry.register("gate", load_schema(json.dumps(extended), 2))
    names = [field["name"] for field in extended["fields"]]
    extended["fields"][names.index("event_id")] = {"name": "event_id", "doc": "x", "type": "long", "default": 0}
    with pytest.raises(SchemaRejected, match="rejects"):
        registry.register("gate", load_schema(json.dumps(extended), 3))


def test_record_of_a_newer_schema_is_read_with_the_registry(registry):
    extended = json.loads(schemas.EVENT.json)
    extended["fields"].insert(0, {"name": "newer", "doc": "x", "type": ["null", "int"], "default": None})
    newer = load_schema(json.dumps(extended), 2)
    schema_id = registry.register("newer", newer)
    body = io.BytesIO()
    schemaless_writer(body, codec.parse_plain_schema(newer.json), {"newer": 5, "event_id": "x"})
    value = codec.frame_confluent(schema_id, body.getvalue())
    assert codec.Decoder(schemas.EVENT, registry.resolve).decode(value)["event_id"] == "x"


def test_unknown_id_is_a_bad_record_and_a_registry_without_the_events_or_that_is_down_is_not(url, registry):
    with pytest.raises(RegistryUnavailable, match="lost its schemas"):
        registry.resolve(123_456)
    registry.register("instance-actions", schemas.EVENT)
    with pytest.raises(UnknownSchema):
        registry.resolve(123_456)
    for settings, text in (
        (KafkaSettings(schema_registry_url="http://127.0.0.1:9"), "does not answer"),
        (KafkaSettings(schema_registry_url=url.removesuffix("/v7") + "/no-such-path"), "127.0.0.1"),
    ):
        with closing(Registry(settings)) as other, pytest.raises(RegistryUnavailable, match=text):
            other.resolve(1)


def test_subject_is_described_before_and_after_its_first_version(registry):
    assert (registry.versions("described"), registry.id_of("described", schemas.EVENT)) == ([], None)
    assert registry.accepts("described", schemas.EVENT)
    registry.compatibility("described")
    schema_id = registry.register("described", schemas.EVENT)
    registry.require_full_transitive("described")
    assert registry.compatibility("described") == "FULL_TRANSITIVE"
    assert registry.id_of("described", schemas.EVENT) == schema_id
    (number,) = registry.versions("described")
    assert json.loads(registry.version("described", number)) == json.loads(schemas.EVENT.json)
    assert registry.id_of("described", schemas.PRODUCER_STATUS) is None
