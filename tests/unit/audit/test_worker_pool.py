"""Processes that help: what they say arrives, what goes wrong is told, and none is left behind."""

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
from stumble.audit.parallel_map import ParallelMap
from stumble.audit.worker_pool import WorkerPool, merged, processes_for
from stumble.wire.errors import StumbleError
from tests.unit.audit.jobs import Count, Double

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def crew() -> Iterator[WorkerPool]:
    with WorkerPool() as found:
        found.gather(3)
        yield found


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


def test_what_helpers_and_this_process_read_comes_together(crew):
    first, second = crew.helpers
    first.begin(Count(1000, 3000))
    second.begin(Count(5000, 5001))
    assert sorted(merged(iter(range(10)), crew.helpers)) == [*range(10), *range(1000, 3000), 5000]
    first.begin(Count(7, 8))  # they are free again
    assert (first.hear(), first.hear()) == (7, None)


def test_lanes_do_every_chunk_once_wherever(crew):
    def ask(helper, number):
        helper.tell(number)
        return helper.hear()

    for _ in range(2):
        with ParallelMap([lambda number: 2 * number], crew.helpers, Double(), ask) as lanes:
            results = [result for _, ended in lanes.run(range(20, 320)) for result in ended]
        assert results == [2 * number for number in range(20, 320)]


@pytest.mark.parametrize(("number", "words"), [(13, "Thirteen is not doubled."), (14, "Unportable: 1 and 2")])
def test_what_a_job_raises_is_raised_here(crew, number, words):
    helper = crew.helpers[0]
    helper.begin(Double())
    helper.tell(number)
    with pytest.raises(StumbleError, match=words):
        helper.hear()
    helper.begin(Count(1, 2))
    assert (helper.hear(), helper.hear()) == (1, None)


def test_a_helper_that_dies_is_told_in_one_sentence():
    with WorkerPool() as crew:
        crew.gather(2)
        (helper,) = crew.helpers
        helper.begin(Double())
        helper.tell(666)
        with pytest.raises(StumbleError, match=r"^A helping process ended \(signal 9\) .* --processes 1 "):
            helper.hear()
        with pytest.raises(StumbleError, match="signal 9"):
            helper.tell(1)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_helper_outlives_its_parent(how):
    code = "from tests.unit.audit.jobs import waiting_crew; waiting_crew()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        helpers = [int(word) for word in parent.stdout.readline().split()]
        assert len(helpers) == 2
        os.killpg(parent.pid, how) if how == signal.SIGINT else parent.send_signal(how)
        parent.wait(60)
    deadline = time.monotonic() + 60
    while any(_runs(pid) for pid in helpers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_short_topics_need_no_help():
    assert processes_for(1000, None) == 1
    assert processes_for(1_000_000, None) == min(2, len(os.sched_getaffinity(0)))
    assert processes_for(1000, 5) == 5
