"""The driver in a service that forks workers after it was loaded, and in one with an outbox that it cannot use."""

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


def run_fork(nova_python: Path, outbox: Path, workers: int) -> None:
    """Send notifications in a parent and in `workers` children, forked after the driver was loaded."""
    done = subprocess.run(
        [str(nova_python), "-W", "ignore", str(FORK), str(outbox), str(workers)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_parent_and_each_worker_write_their_own_folder(nova_python: Path, tmp_path: Path) -> None:
    run_fork(nova_python, tmp_path, 3)
    events = list(offline.events_of(tmp_path))
    assert sorted(event["request_id"] for event in events) == ["req-1", "req-2", "req-3", "req-parent", "req-parent"]
    assert len(outbox_folders(str(tmp_path))) == 4
    assert len({event["event_id"] for event in events}) == 5


def nova_view(results: list[dict[str, Any]]) -> list[Any]:
    """Return Nova's view of every scenario, without the values that differ from run to run."""
    return [
        (result["scenario"], result["status"], result["nova"], state_of(result["nova_server"])) for result in results
    ]


def state_of(server: dict[str, Any] | None) -> Any:
    """Return the states of a server, and whether it has a fault; the fault's text contains its uuid."""
    return server and {**server, "fault": bool(server["fault"])}


FEW_SCENARIOS = [argument for name in ("create works", "both hosts", "stop", "reboot") for argument in ("--only", name)]


@pytest.fixture(scope="module")
def results_without_stumble(harness: Callable[..., list[dict[str, Any]]]) -> list[Any]:
    """Nova's view of a few scenarios without stumble."""
    return nova_view(harness(*FEW_SCENARIOS))


def test_unwritable_outbox_changes_no_result_of_nova(
    harness: Callable[..., list[dict[str, Any]]], results_without_stumble: list[Any], tmp_path: Path
) -> None:
    blocking_file = tmp_path / "file"
    blocking_file.write_text("not a directory")
    assert (
        nova_view(harness(*FEW_SCENARIOS, "--stumble", f"outbox_dir={blocking_file}/outbox")) == results_without_stumble
    )
    assert blocking_file.read_text() == "not a directory"


def test_full_outbox_changes_no_result_of_nova(
    harness: Callable[..., list[dict[str, Any]]], results_without_stumble: list[Any], tmp_path: Path
) -> None:
    full_folder = tmp_path / f"uid-{os.getuid()}" / "nova-compute-1-00000000"
    full_folder.mkdir(parents=True, mode=0o700)
    with (full_folder / "00000001.seg").open("wb") as segment:
        os.posix_fallocate(segment.fileno(), 0, writer.DEFAULT_MAX_BYTES)  # no relay, no broker for days
    assert nova_view(harness(*FEW_SCENARIOS, "--stumble", f"outbox_dir={tmp_path}")) == results_without_stumble
    folder_totals = [
        counters.read_totals(folder.path) for folder in outbox_folders(str(tmp_path)) if folder.path != str(full_folder)
    ]
    assert sum(totals.refused for totals in folder_totals if totals) > 0
    assert sum(totals.accepted for totals in folder_totals if totals) == 0


def test_disabled_tap_writes_only_notification_events(
    harness: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    harness("--only", "stop fails", "--format", "both", "--stumble", f"outbox_dir={tmp_path}", "--stumble", "tap=false")
    kinds = {event["source"]["kind"] for event in offline.events_of(tmp_path)}
    assert kinds == {"LEGACY", "VERSIONED"}
