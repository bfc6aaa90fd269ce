"""The bytes that are signed: they identify topic, key, value and the headers that consumers act upon."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stumble.signatures.record_signature import SIGNATURE, read_signature, signature_header, signed_bytes

# Few different characters and short parts, so that moving a character from one part to the next is likely.
TEXT = st.text("a\x00", max_size=3)
BYTES = st.none() | st.text("a\x00\x01\xff", max_size=4).map(lambda text: text.encode("latin-1"))
SIGNED_HEADER = st.tuples(st.sampled_from(["ce_id", "stumble_relay", "stumble_schema"]), BYTES)
RECORD = st.tuples(TEXT, BYTES, BYTES, st.lists(SIGNED_HEADER, max_size=3))


@given(RECORD, RECORD)
def test_two_different_records_have_different_bytes(one, other):
    assert (signed_bytes(*one) == signed_bytes(*other)) == (one == other)


@given(RECORD, st.integers(0, 3), st.integers(0, 3), BYTES)
def test_bytes_stay_the_same_when_an_unsigned_header_is_added(record, first, second, content):
    topic, key, value, headers = record
    more = list(headers)
    more.insert(first, ("traceparent", content))
    more.insert(second, (SIGNATURE, content))
    assert signed_bytes(topic, key, value, more) == signed_bytes(topic, key, value, headers)


def test_signature_is_read_from_its_last_header():
    first, second = signature_header("k1", b"1" * 64), signature_header("k2", b"2" * 64)
    assert read_signature([first, ("x", None), second]) == ("k2", b"2" * 64)
    assert read_signature([("x", b"1")]) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"k1", b"k1:", b"k1:###", b"k1:" + base64.b64encode(b"short"), b"\xff:" + base64.b64encode(b"1" * 64)],
)
def test_damaged_header_is_a_value_error(value):
    with pytest.raises(ValueError):
        read_signature([(SIGNATURE, value)])
