"""Both layouts of oslo.messaging's context, with and without the outer wrapper, give the same message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stumble.bridge.envelope import unwrap_notification
from stumble.bridge.kafka import consumer_config, topic_patterns
from stumble.bridge.settings import BridgeSettings, TransportSettings

MESSAGE = {"event_type": "instance.delete.end", "payload": {"a": 1}, "message_id": "m"}
CONTEXT = {"request_id": "req-1", "project_id": "p"}
FLAT = {**MESSAGE, **{f"_context_{name}": value for name, value in CONTEXT.items()}, "_unique_id": "u"}
NESTED = {**MESSAGE, "_context": CONTEXT}


@pytest.mark.parametrize("inner", [FLAT, NESTED])
@pytest.mark.parametrize("wrap", [lambda i: i, lambda i: {"oslo.version": "2.0", "oslo.message": json.dumps(i)},
                                  lambda i: {"oslo.version": "2.0", "oslo.message": i}])  # fmt: skip
def test_all_layouts_are_unwrapped_to_the_same_message(inner, wrap):
    message, context = unwrap_notification(json.dumps(wrap(inner)))
    assert context == CONTEXT
    assert {name: message[name] for name in MESSAGE} == MESSAGE


@given(
    st.binary(max_size=40) | st.recursive(st.none() | st.text(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_other_values_raise_value_error(value):
    try:
        unwrap_notification(value)
    except ValueError:
        return
    assert isinstance(json.loads(value), dict)


def test_kafka_topics_follow_the_naming_of_oslo_messaging():
    plain = TransportSettings(name="a", url="kafka://h1:9092,h2:9092")
    vhost = TransportSettings(name="a", url="kafka://u:p@h1:9092/nova", topics=["notifications"])
    assert topic_patterns(plain)[1].startswith(r"^versioned_notifications\.(audit|")
    assert topic_patterns(vhost)[0].endswith(r")\.nova$")
    assert consumer_config(plain)["bootstrap.servers"] == "h1:9092,h2:9092"
    assert consumer_config(vhost)["sasl.password"] == "p"


def test_invalid_settings_are_rejected_with_the_reason():
    with pytest.raises(ValueError, match="must start with rabbit"):
        TransportSettings(name="a", url="http://x")
    with pytest.raises(ValueError, match="give each its own"):
        BridgeSettings(transports=[{"name": "a", "url": "kafka://x"}, {"name": "a", "url": "kafka://y"}])
