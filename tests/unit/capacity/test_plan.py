"""The capacity table in the docs matches the code; the needs follow from measured sizes."""

import json
import re
from itertools import pairwise

import pytest

from stumble.capacity.plan import (
    CLOUDS,
    Cloud,
    capacity_table,
    compute_needs,
    format_count,
    format_size,
    measured_sizes,
)
from stumble.cli.root import run
from tests.support.services import ROOT


def test_capacity_table_in_docs_is_current():
    text = (ROOT / "docs" / "operations.md").read_text()
    marked = re.search(r"<!-- capacity -->\n(.*?)\n?<!-- /capacity -->", text, re.DOTALL)
    assert marked
    assert marked[1] == capacity_table(), "the table differs from the code: run make docs"


def test_measured_sizes_are_plausible():
    values = measured_sizes()
    assert values["topic_event_caught_up"] < values["topic_event_usual"] < values["topic_event_plain"]
    assert 2 < values["events_per_request"] < 20
    assert 0.05 < values["failures_per_request"] < 0.2


def test_needs_grow_with_the_cloud():
    plans = [compute_needs(cloud) for cloud in CLOUDS]
    for before, after in pairwise(plans):
        assert before.kafka_bytes < after.kafka_bytes
        assert before.store_bytes < after.store_bytes
        assert before.partitions <= after.partitions
    assert all(item.partitions >= 12 and item.partitions % 12 == 0 and item.projectors >= 2 for item in plans)


def test_needs_follow_from_rates_and_retention_days():
    cloud = Cloud(100, 1.0)
    once, short = compute_needs(cloud), compute_needs(Cloud(100, 1.0, events_days=45, requests_days=200))
    assert once.events_per_day == pytest.approx(86_400 * measured_sizes()["events_per_request"])
    assert short.store_bytes == pytest.approx(once.store_bytes / 2)
    assert compute_needs(Cloud(100, 1.0, copies=1)).kafka_bytes == pytest.approx(once.kafka_bytes / 3)
    assert compute_needs(Cloud(100, 0)).store_bytes == 0


def test_command_prints_needs_as_text_and_json(capsys):
    assert run(["capacity", "--hosts", "1000", "--actions-per-second", "3"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^database +[\d.]+ (GB|TB): ", text, re.MULTILINE)
    assert run(["capacity", "--hosts", "1000", "--actions-per-second", "3", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"] == compute_needs(Cloud(1000, 3)).partitions


def test_sizes_and_counts_are_printed_with_units():
    assert [format_size(value) for value in (1_234, 56_789_000, 1.26e9, 3.4e12)] == [
        "1.2 kB",
        "57 MB",
        "1.3 GB",
        "3.4 TB",
    ]
    assert [format_count(value) for value in (999, 1_234, 5_600_000, 7e9)] == [
        "999",
        "1.2 thousand",
        "5.6 million",
        "7 billion",
    ]
