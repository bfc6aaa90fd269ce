"""The quick way from bytes to a fact gives what the long way gives, and knows what it can't read."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stumble.consumers.factreader import Read, Unreadable, compile_reader
from stumble.consumers.facts import fact_of
from stumble.producers.simulator import Settings, Stream
from stumble.schemas.wire.codec import decode, encode
from stumble.schemas.wire.errors import NotAvro
from stumble.schemas.wire.schemas import EVENT

QUICK = compile_reader(EVENT.json)
BODIES = [encode(EVENT, item.event) for item in islice(Stream(Settings(instances=20, failures=0.5)), 400)]


def long_way(body: bytes) -> Read:
    event = decode(EVENT, body)
    times = event["occurred_at"], event["emitted_at"]
    return Read(event["event_id"], *times, event["instance_uuid"], event["request_id"], fact_of(event))


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the schema."""
    if isinstance(kind, list):
        return st.none() | values(kind[1])
    shape = kind["type"] if isinstance(kind, dict) else kind
    if shape == "record":
        return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in kind["fields"]})
    return {
        "string": st.text(max_size=200),
        "boolean": st.booleans(),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1) | st.integers(1_600_000_000_000_000, 1_900_000_000_000_000),
        "enum": st.sampled_from(kind["symbols"] if isinstance(kind, dict) and "symbols" in kind else [""]),
        "map": st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
        "array": st.lists(st.text(max_size=9), max_size=3),
    }[shape]


def plain(node: Any) -> Any:
    """The schema without logical types: times as integers."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if key != "logicalType"}
    return [plain(value) for value in node] if isinstance(node, list) else node


@given(values(plain(json.loads(EVENT.json))))
@settings(max_examples=150, deadline=None)
def test_any_event(event: dict[str, Any]) -> None:
    body = encode(EVENT, event)
    assert QUICK(b"frame" + body, 5) == long_way(body)


@pytest.mark.parametrize("body", BODIES[:50])
def test_simulated_events(body: bytes) -> None:
    assert QUICK(body, 0) == long_way(body)


@pytest.mark.parametrize(
    ("old", "new", "action"), [("m1", "m1", "migrate"), ("m1", "m2", "resize"), (None, "m1", "resize")]
)
def test_flavors_tell_a_migration_from_a_resize(old: str | None, new: str, action: str) -> None:
    event = decode(EVENT, BODIES[0]) | {"action": "resize", "old_flavor": old, "new_flavor": new}
    body = encode(EVENT, event)
    assert QUICK(body, 0) == long_way(body)
    assert QUICK(body, 0).fact.action == action


@given(st.sampled_from(BODIES), st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 3))
@settings(max_examples=400, deadline=None)
def test_damaged_bytes_are_never_read_otherwise(body: bytes, place: int, byte: int, damage: int) -> None:
    place %= len(body)
    damaged = [
        body[:place],
        body[:place] + bytes([byte]) + body[place + 1 :],
        body + bytes([byte]),
        body[:place] + body[place + 1 :],
    ][damage]
    try:
        expected = long_way(damaged)
    except NotAvro:
        with pytest.raises(Unreadable):
            QUICK(damaged, 0)
        return
    try:
        found = QUICK(damaged, 0)
    except Unreadable:
        return
    assert found == expected
