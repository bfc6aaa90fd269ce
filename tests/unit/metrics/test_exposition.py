"""The format of metrics, by the `Accept` header of any client."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from stumble.metrics.exposition import exposition

WORDS = ("application/openmetrics-text", "text/plain", ";", ",", "version=", "1.0.0", "escaping=", "q=", "x", '"')


@given(st.text(string.printable) | st.lists(st.sampled_from(WORDS)).map("".join))
def test_any_accept_header_gets_a_format(accept: str) -> None:
    assert exposition(accept, CollectorRegistry())[1].startswith(("text/plain", "application/openmetrics-text"))


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=x", "text/plain;version=-;q=;escaping="])
def test_version_that_is_none_gets_the_oldest_format(accept: str) -> None:
    assert exposition(accept, CollectorRegistry())[1].startswith("text/plain; version=0.0.4")
