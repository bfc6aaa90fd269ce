"""Processes and threads that share work: results, errors, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stumble.audit.offset_range import OffsetRange
from stumble.audit.workers import Workers, processes_for
from stumble.wire.errors import StumbleError
from tests.support.services import ROOT, cli_environment
from tests.unit.audit.work import count, double

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=[1, 2], ids=["threads", "processes"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    with Workers(request.param) as made:
        yield made


@given(st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 99), st.integers(0, 999))), st.integers(1, 5))
def test_every_partition_is_in_one_share_and_shares_are_about_equal(sizes, shares):
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


def test_stream_yields_all_that_each_item_gives(workers):
    spans = [(0, 10), (1000, 3000), (7, 7)]
    assert sorted(workers.stream(count, spans)) == [*range(10), *range(1000, 3000)]


@pytest.mark.parametrize(("number", "words"), [(13, "Thirteen is not doubled."), (14, "1 and 2")])
def test_what_work_raises_is_raised_by_map_and_the_workers_go_on(workers, number, words):
    with pytest.raises(Exception, match=words):
        list(workers.map(double, [number]))
    assert list(workers.map(double, [1])) == [(1, 2)]


def test_process_that_dies_is_one_sentence():
    with Workers(2) as workers, pytest.raises(StumbleError, match=r"^A worker process ended .* --processes 1 "):
        list(workers.map(double, [666]))


def test_close_ends_a_stream_that_nobody_takes():
    began = time.monotonic()
    with Workers(2) as workers:
        assert next(workers.stream(count, [(0, 1_000_000)])) == 0
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(number, tmp_path):
    errors = tmp_path / "stderr"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "tests.unit.audit.work"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=cli_environment(),
            start_new_session=True,
        ) as parent,
    ):
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        os.killpg(parent.pid, number) if number == signal.SIGINT else parent.send_signal(number)
        deadline = time.monotonic() + 60
        while number == signal.SIGKILL and any(_runs(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if number == signal.SIGINT:
            for pid in pids:  # Ctrl-C is the parent's to answer: it waits for the task in work
                assert _runs(pid)
                os.kill(pid, signal.SIGKILL)
    assert "Process SpawnProcess" not in errors.read_text(), "a worker printed a traceback"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_short_topics_need_no_process():
    assert processes_for(1000, None) == 1
    assert processes_for(1_000_000, None) == min(2, len(os.sched_getaffinity(0)))
    assert processes_for(1000, 5) == 5
