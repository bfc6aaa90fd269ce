"""A subscriber that stores the highest revision of each id has exactly the store's records in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nova import evidence
from tests.nova.conftest import EXPECTED
from tests.nova.subscriber import OUTCOME_FIELDS, SentAndStored, assert_sent_equals_stored, differences

pytestmark = pytest.mark.xdist_group("nova with the one line")

_cached: list[SentAndStored] = []


@pytest.fixture
def sent_and_stored(scenario_results: Callable[..., Any], shared_folder: Path) -> SentAndStored:
    scenario_results("default")
    if not _cached:
        folder = shared_folder / "default" / "evidence"
        _cached.append(SentAndStored(evidence.load(folder, "topics"), evidence.load(folder, "store")))
    return _cached[0]


@pytest.mark.parametrize("name", list(EXPECTED))
def test_highest_revisions_sent_equal_the_stored_records(
    name: str, sent_and_stored: SentAndStored, scenario_results: Callable[..., Any]
) -> None:
    request_id = scenario_results("default")[name]["result"]["request_id"]
    assert_sent_equals_stored(sent_and_stored, lambda row: row["request_id"] == request_id)


def test_highest_revisions_of_all_requests_equal_the_stored_records(sent_and_stored: SentAndStored) -> None:
    assert_sent_equals_stored(sent_and_stored, lambda _row: True)
    assert len(sent_and_stored.sent_outcomes) > len(EXPECTED)


def test_differences_reports_an_older_revision(sent_and_stored: SentAndStored) -> None:
    key, row = next((key, row) for key, row in sent_and_stored.requests.items() if row["outcome"] == "FAILED")
    older = {**sent_and_stored.sent_outcomes[key], "outcome": "SUCCEEDED"}
    assert differences({key: older}, {key: row}, OUTCOME_FIELDS) == [
        f"{key}: outcome is 'SUCCEEDED' there and 'FAILED' here"
    ]
