"""Secrets in exception messages are masked before they leave the host; ``tracebacks = false`` sends no tracebacks."""

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
    """Play the scenarios; stumble's records are as expected with every option."""
    arguments = [argument for option in (f"outbox_dir={folder}", *options) for argument in ("--stumble", option)]
    results = harness("--secrets", "--format", "both", *arguments)
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


def test_outbox_contains_no_secret(masked: Run) -> None:
    assert canaries.MARK.encode() not in masked.outbox
    assert b"gAAAA" not in masked.outbox


def test_text_around_masked_secrets_is_in_the_outbox(masked: Run) -> None:
    with_plain_text = [one for one in masked.failures if secrets.PLAIN in (one["message"] or "")]
    assert len(with_plain_text) >= len(EXPECTED)
    for one in with_plain_text:
        assert one["message"].count("***") >= 5, one["message"]
    assert sum(one["traceback"] is not None and "***" in one["traceback"] for one in masked.failures) >= 3


def test_unmasked_secret_is_detected(masked: Run) -> None:
    assert canaries.kinds_in(masked.outbox + secrets.TEXT.encode()) == {"unknown"}


def test_tracebacks_false_writes_no_traceback_to_the_outbox(harness: Harness, tmp_path: Path, masked: Run) -> None:
    without_tracebacks = run(harness, tmp_path, "tracebacks=false")
    assert any(one["traceback"] for one in masked.failures)
    assert [one for one in without_tracebacks.failures if one["traceback"]] == []
    assert b"Traceback (most recent call last)" not in without_tracebacks.outbox
    assert canaries.MARK.encode() not in without_tracebacks.outbox
    classes = {(one["exception"], one["message"]) for one in without_tracebacks.failures}
    assert any(secrets.PLAIN in (message or "") for _, message in classes)
    assert {name for name, _ in classes} == {one["exception"] for one in masked.failures}
