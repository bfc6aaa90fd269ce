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
    extended["fields"][0] = {"name": "host", "doc": "x", "type": "long", "default": 0}
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


def test_unknown_id_is_a_bad_record_and_unavailable_registry_is_not(registry):
    with pytest.raises(UnknownSchema):
        registry.resolve(123_456)
    unavailable = KafkaSettings(schema_registry_url="http://127.0.0.1:9")
    with (
        closing(Registry(unavailable)) as unreachable_registry,
        pytest.raises(RegistryUnavailable, match="does not answer"),
    ):
        unreachable_registry.resolve(1)
