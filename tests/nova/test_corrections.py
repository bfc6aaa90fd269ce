"""Whoever keeps the highest revision of all that the topics sent ends with exactly the store's record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nova import evidence
from tests.nova.conftest import EXPECTED
from tests.nova.subscriber import OUTCOME_FIELDS, Kept, assert_equal, differences

pytestmark = pytest.mark.xdist_group("nova with the one line")

_kept: list[Kept] = []


@pytest.fixture
def kept(told: Callable[..., Any], shared_folder: Path) -> Kept:
    told("default")
    if not _kept:
        folder = shared_folder / "default" / "evidence"
        _kept.append(Kept(evidence.load(folder, "topics"), evidence.load(folder, "store")))
    return _kept[0]


@pytest.mark.parametrize("name", list(EXPECTED))
def test_the_highest_revisions_are_the_store_s_record(name: str, kept: Kept, told: Callable[..., Any]) -> None:
    wanted = told("default")[name]["result"]["request_id"]
    assert_equal(kept, lambda row: row["request_id"] == wanted)


def test_so_they_are_of_every_other_request(kept: Kept) -> None:
    assert_equal(kept, lambda _row: True)
    assert len(kept.sent_outcomes) > len(EXPECTED)


def test_an_older_revision_would_be_noticed(kept: Kept) -> None:
    key, row = next((key, row) for key, row in kept.requests.items() if row["outcome"] == "FAILED")
    older = {**kept.sent_outcomes[key], "outcome": "SUCCEEDED"}
    assert differences({key: older}, {key: row}, OUTCOME_FIELDS) == [
        f"{key}: outcome is 'SUCCEEDED' there and 'FAILED' here"
    ]
