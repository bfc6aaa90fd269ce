"""The driver in a service that forks its workers after loading it, and in one that is given an outbox it can't use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stumble.outbox import counters, writer
from stumble.outbox.folders import outbox_folders
from tests.nova import offline

FORK = Path(__file__).resolve().parent / "in_nova" / "fork.py"


def fork(nova_python: Path, outbox: Path, workers: int) -> None:
    """Notify in a parent and in `workers` children that are forked after the driver was loaded."""
    done = subprocess.run(
        [str(nova_python), "-W", "ignore", str(FORK), str(outbox), str(workers)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_parent_and_workers_each_write_a_folder_of_their_own(nova_python: Path, tmp_path: Path) -> None:
    fork(nova_python, tmp_path, 3)
    events = list(offline.events_of(tmp_path))
    assert sorted(event["request_id"] for event in events) == ["req-1", "req-2", "req-3", "req-parent", "req-parent"]
    assert len(outbox_folders(str(tmp_path))) == 4
    assert len({event["event_id"] for event in events}) == 5


def nova_view(results: list[dict[str, Any]]) -> list[Any]:
    """Return what Nova says of every scenario, without what differs from run to run."""
    return [
        (result["scenario"], result["status"], result["nova"], state_of(result["nova_server"])) for result in results
    ]


def state_of(server: dict[str, Any] | None) -> Any:
    """Return the states of a server; faults name its uuid, so only whether there is one counts."""
    return server and {**server, "fault": bool(server["fault"])}


FEW = [word for name in ("create works", "both hosts", "stop", "reboot") for word in ("--only", name)]


@pytest.fixture(scope="module")
def without(harness: Callable[..., list[dict[str, Any]]]) -> list[Any]:
    """What Nova says of a few scenarios without stumble."""
    return nova_view(harness(*FEW))


def test_an_outbox_that_can_not_be_written_changes_nothing_for_nova(
    harness: Callable[..., list[dict[str, Any]]], without: list[Any], tmp_path: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a directory")
    assert nova_view(harness(*FEW, "--stumble", f"outbox_dir={in_the_way}/outbox")) == without
    assert in_the_way.read_text() == "not a directory"


def test_a_full_outbox_that_nobody_empties_changes_nothing_for_nova(
    harness: Callable[..., list[dict[str, Any]]], without: list[Any], tmp_path: Path
) -> None:
    left_over = tmp_path / f"uid-{os.getuid()}" / "nova-compute-1-00000000"
    left_over.mkdir(parents=True, mode=0o700)
    with (left_over / "00000001.seg").open("wb") as segment:
        segment.truncate(writer.DEFAULT_MAX_BYTES)  # no relay, no broker for days
    assert nova_view(harness(*FEW, "--stumble", f"outbox_dir={tmp_path}")) == without
    refused = [
        counters.read_totals(place.path) for place in outbox_folders(str(tmp_path)) if place.path != str(left_over)
    ]
    assert sum(totals.refused for totals in refused if totals) > 0
    assert sum(totals.accepted for totals in refused if totals) == 0


def test_without_the_tap_nova_s_functions_stay_its_own(
    harness: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    harness("--only", "stop fails", "--format", "both", "--stumble", f"outbox_dir={tmp_path}", "--stumble", "tap=false")
    kinds = {event["source"]["kind"] for event in offline.events_of(tmp_path)}
    assert kinds == {"LEGACY", "VERSIONED"}
