"""The capacity table is what the code says, and the code says what follows from measured sizes."""

import json
import re
from itertools import pairwise

import pytest

from stumble.capacity.plan import CLOUDS, Cloud, count, markdown, measured, needs, size
from stumble.cli.root import run
from tests.support.services import ROOT


def test_the_table_in_the_documents_is_current():
    text = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r"<!-- capacity -->\n(.*?)\n?<!-- /capacity -->", text, re.DOTALL)
    assert found
    assert found[1] == markdown(), "put what stumble.capacity.plan.markdown() gives between the marks: make docs"


def test_what_is_measured_is_plausible():
    found = measured()
    assert found["topic_event_caught_up"] < found["topic_event_usual"] < found["topic_event_plain"]
    assert 2 < found["events_per_request"] < 20
    assert 0.05 < found["failures_per_request"] < 0.2


def test_needs_grow_with_the_cloud():
    found = [needs(cloud) for cloud in CLOUDS]
    for before, after in pairwise(found):
        assert before.kafka_bytes < after.kafka_bytes
        assert before.store_bytes < after.store_bytes
        assert before.partitions <= after.partitions
    assert all(item.partitions >= 12 and item.partitions % 12 == 0 and item.projectors >= 2 for item in found)


def test_needs_follow_from_rates_and_days():
    cloud = Cloud(100, 1.0)
    once, short = needs(cloud), needs(Cloud(100, 1.0, events_days=45, requests_days=200))
    assert once.events_per_day == pytest.approx(86_400 * measured()["events_per_request"])
    assert short.store_bytes == pytest.approx(once.store_bytes / 2)
    assert needs(Cloud(100, 1.0, copies=1)).kafka_bytes == pytest.approx(once.kafka_bytes / 3)
    assert needs(Cloud(100, 0)).store_bytes == 0


def test_the_command_says_it(capsys):
    assert run(["capacity", "--hosts", "1000", "--actions-per-second", "3"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^database +[\d.]+ (GB|TB): ", text, re.MULTILINE)
    assert run(["capacity", "--hosts", "1000", "--actions-per-second", "3", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"] == needs(Cloud(1000, 3)).partitions


def test_numbers_for_people():
    assert [size(value) for value in (1_234, 56_789_000, 1.26e9, 3.4e12)] == ["1.2 kB", "57 MB", "1.3 GB", "3.4 TB"]
    assert [count(value) for value in (999, 1_234, 5_600_000, 7e9)] == [
        "999",
        "1.2 thousand",
        "5.6 million",
        "7 billion",
    ]
