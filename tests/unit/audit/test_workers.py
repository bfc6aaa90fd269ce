"""Worker processes and threads: results, errors, and no worker outlives its parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stumble.audit.offset_range import OffsetRange
from stumble.audit.workers import Workers, processes_for
from stumble.wire.errors import StumbleError
from tests.support.command import running
from tests.support.services import ROOT, cli_environment
from tests.unit.audit.work import count, double

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=[1, 2], ids=["threads", "processes"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    with Workers(request.param) as workers_of_test:
        yield workers_of_test


@given(st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 99), st.integers(0, 999))), st.integers(1, 5))
def test_each_partition_is_in_one_share_and_shares_are_about_equal(sizes, shares):
    starts = {partition: start for partition, (start, _) in sizes.items()}
    ends = {partition: start + size for partition, (start, size) in sizes.items()}
    parts = OffsetRange("t", "id", starts, ends, starts).shared(shares)
    assert len(parts) == shares
    assert sorted(p for part in parts for p in part.ends) == sorted(ends)
    assert {p: end for part in parts for p, end in part.ends.items()} == ends
    assert {p: start for part in parts for p, start in part.starts.items()} == starts
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= max((size for _, size in sizes.values()), default=0)


def test_map_yields_every_item_once_in_order(workers):
    for _ in range(2):
        assert list(workers.map(double, range(20, 220))) == [(number, 2 * number) for number in range(20, 220)]


def test_stream_yields_all_results_of_each_item(workers):
    spans = [(0, 10), (1000, 3000), (7, 7)]
    assert sorted(workers.stream(count, spans)) == [*range(10), *range(1000, 3000)]


@pytest.mark.parametrize(("number", "words"), [(13, "Thirteen is not doubled."), (14, "1 and 2")])
def test_exception_of_a_task_is_raised_by_map_and_workers_stay_usable(workers, number, words):
    with pytest.raises(Exception, match=words):
        list(workers.map(double, [number]))
    assert list(workers.map(double, [1])) == [(1, 2)]


def test_killed_worker_process_raises_one_sentence():
    with Workers(2) as workers, pytest.raises(StumbleError, match=r"^A worker process ended .* --processes 1 "):
        list(workers.map(double, [666]))


@pytest.mark.timeout(20)
def test_error_of_one_item_ends_a_stream_while_another_item_still_yields():
    def fail_or_yield(item: int) -> Iterator[int]:
        if item == 0:
            raise StumbleError("The first item failed.")
        while True:
            yield item

    with Workers(1) as workers, pytest.raises(StumbleError, match=r"^The first item failed\.$"):
        for _ in workers.stream(fail_or_yield, [0, 1]):
            pass


def test_close_ends_a_stream_that_is_not_consumed():
    with Workers(2) as workers:
        assert next(workers.stream(count, [(0, 1_000_000)])) == 0


@contextmanager
def _sleeping_workers(errors: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Start a process with two workers that sleep; yields it and their ids, and kills all three."""
    command = [sys.executable, "-m", "tests.unit.audit.work"]
    pids: list[int] = []
    with (
        errors.open("w") as stderr,
        running(command, cwd=ROOT, env=cli_environment(), stdout=subprocess.PIPE, stderr=stderr) as parent,
    ):
        assert parent.stdout is not None
        try:
            pids.extend(int(parent.stdout.readline()) for _ in range(2))
            yield parent, pids
        finally:
            for pid in filter(_runs, pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_workers_end_with_their_parent(tmp_path):
    errors = tmp_path / "stderr"
    with _sleeping_workers(errors) as (parent, pids):
        parent.kill()
        deadline = time.monotonic() + 60
        while any(_runs(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert "Process SpawnProcess" not in errors.read_text(), "a worker printed a traceback"


def test_workers_ignore_ctrl_c(tmp_path):
    with _sleeping_workers(tmp_path / "stderr") as (_, pids):
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            (ignored,) = re.findall(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
            assert int(ignored, 16) & 1 << (signal.SIGINT - 1), "only the parent handles Ctrl-C"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_short_topic_uses_one_process():
    assert processes_for(1000, None) == 1
    assert processes_for(1_000_000, None) == min(2, len(os.sched_getaffinity(0)))
    assert processes_for(1000, 5) == 5
