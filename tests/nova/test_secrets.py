"""Secrets in what exceptions say are masked before they leave the host; tracebacks stay on it where that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from novaharness import canaries, secrets

from tests.nova import judge, offline

EXPECTED = {scenario.name: scenario.expected for scenario in secrets.SCENARIOS}
Harness = Callable[..., list[dict[str, Any]]]


class Run(NamedTuple):
    outbox: bytes
    failures: list[dict[str, Any]]


def run(harness: Harness, folder: Path, *options: str) -> Run:
    """Play the scenarios; what stumble then knows of them is right whatever the options."""
    words = [word for option in (f"outbox_dir={folder}", *options) for word in ("--stumble", option)]
    results = harness("--secrets", "--format", "both", *words)
    events = list(offline.events_of(folder))
    items = offline.items_of(events)
    for result in results:
        assert judge.differences(EXPECTED[result["scenario"]], items[result["request_id"]]) == []
    assert len(results) == len(EXPECTED)
    data = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    return Run(data, [event["failure"] for event in events if event["failure"]])


@pytest.fixture(scope="module")
def masked(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(harness, tmp_path_factory.mktemp("masked"))


def test_no_secret_leaves_the_host(masked: Run) -> None:
    assert canaries.MARK.encode() not in masked.outbox
    assert b"gAAAA" not in masked.outbox


def test_what_is_no_secret_does(masked: Run) -> None:
    told = [one for one in masked.failures if secrets.PLAIN in (one["message"] or "")]
    assert len(told) >= len(EXPECTED)
    for one in told:
        assert one["message"].count("***") >= 5, one["message"]
    assert sum(one["traceback"] is not None and "***" in one["traceback"] for one in masked.failures) >= 3


def test_a_secret_would_be_found(masked: Run) -> None:
    assert canaries.seen_in(masked.outbox + secrets.TEXT.encode()) == {"unknown"}


def test_tracebacks_stay_on_the_host(harness: Harness, tmp_path: Path, masked: Run) -> None:
    found = run(harness, tmp_path, "tracebacks=false")
    assert any(one["traceback"] for one in masked.failures)
    assert [one for one in found.failures if one["traceback"]] == []
    assert b"Traceback (most recent call last)" not in found.outbox
    assert canaries.MARK.encode() not in found.outbox
    classes = {(one["exception"], one["message"]) for one in found.failures}
    assert any(secrets.PLAIN in (message or "") for _, message in classes)
    assert {name for name, _ in classes} == {one["exception"] for one in masked.failures}
