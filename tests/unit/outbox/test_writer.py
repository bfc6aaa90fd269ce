"""The outbox writer: it stores, refuses and counts events, and never raises on append."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from stumble.outbox import OutboxWriter, writer
from stumble.outbox.counters import Totals, read_about, read_totals
from stumble.outbox.folders import is_live, memory_root, outbox_folders, outbox_usage, segment_numbers
from tests.unit.outbox.helpers import bodies, only_folder, packed, read_all


def test_nothing_is_created_before_the_first_event(tmp_path: Path) -> None:
    outbox = OutboxWriter(tmp_path / "outbox")
    outbox.describe(tap="on")
    assert not (tmp_path / "outbox").exists()
    assert outbox.append(packed(b"one"), is_failure=False)
    assert bodies(only_folder(tmp_path / "outbox")) == [b"one"]


def test_folder_name_and_description_identify_its_writer(tmp_path: Path) -> None:
    outbox = OutboxWriter(tmp_path, service="nova-compute", about={"host": "cmp1"}, schemas={"ab.avsc": "{}"})
    outbox.append(packed(b"one"), is_failure=False)
    outbox.describe(tap="on")
    folder = only_folder(tmp_path)
    assert folder.parent.name == f"uid-{os.geteuid()}"
    assert folder.name.startswith(f"nova-compute-{os.getpid()}-")
    about = read_about(str(folder))
    assert (about["host"], about["tap"], about["durability"], about["format"]) == ("cmp1", "on", "process", 1)
    assert (folder / "ab.avsc").read_text() == "{}"
    assert folder.stat().st_mode & 0o007 == 0
    assert next(folder.glob("*.seg")).stat().st_mode & 0o007 == 0


def test_start_is_announced_before_the_first_event_in_the_same_folder(tmp_path: Path) -> None:
    outbox = OutboxWriter(tmp_path / "outbox", service="nova-compute")
    outbox.announce(starting=True)
    folder = only_folder(tmp_path / "outbox")
    starting = read_about(str(folder))
    assert starting["starting"] is True
    assert starting["pid"] == os.getpid()
    outbox.announce(starting=False, ready_at=starting["started_at"] + 5)
    assert outbox.append(packed(b"1"), is_failure=False)
    ready = read_about(str(only_folder(tmp_path / "outbox")))
    assert (ready["starting"], ready["ready_at"]) == (False, starting["started_at"] + 5)
    assert (ready["started_at"], ready["pid"]) == (starting["started_at"], starting["pid"])


def test_announcement_in_an_unusable_directory_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")
    OutboxWriter(tmp_path / "outbox").announce(starting=True)


def test_unknown_durability_raises_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="process, power, memory"):
        OutboxWriter(tmp_path, durability="paper")


@pytest.mark.parametrize("durability", ["process", "power"])
def test_records_keep_their_order_over_several_segments(tmp_path: Path, durability: str) -> None:
    outbox = OutboxWriter(tmp_path, durability=durability, max_bytes=1 << 20)  # segments of 256 KiB
    expected = [b"%04d" % number * 500 for number in range(400)]
    for body in expected:
        assert outbox.append(packed(body), is_failure=False)
    folder = only_folder(tmp_path)
    assert len(segment_numbers(str(folder))) > 2
    assert bodies(folder) == expected


def test_durability_memory_writes_to_dev_shm_where_readers_find_it(tmp_path: Path) -> None:
    outbox = OutboxWriter(tmp_path / "outbox", durability="memory")
    try:
        assert outbox.append(packed(b"one"), is_failure=False)
        folder = only_folder(tmp_path / "outbox")
        assert folder.is_relative_to("/dev/shm")
        assert bodies(folder) == [b"one"]
    finally:
        subprocess.run(["rm", "-rf", str(Path(outbox.path or "/nonexistent").parent)], check=True)


def test_full_outbox_keeps_its_records_and_refuses_failures_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = OutboxWriter(tmp_path, max_bytes=1 << 20)
    body = b"x" * 10_000
    accepted = sum(outbox.append(packed(body), is_failure=False) for _ in range(200))
    assert 80 <= accepted <= 105
    later = sum(outbox.append(packed(body, is_failure=True), is_failure=True) for _ in range(200))
    assert 3 <= later <= 30
    folder = only_folder(tmp_path)
    assert len(bodies(folder)) == accepted + later
    totals = read_totals(str(folder))
    assert totals == outbox.totals
    assert totals.refused == 400 - accepted - later
    assert totals.refused_failures == 200 - later
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "outbox is full" in caplog.text


def test_size_limit_applies_to_all_folders_of_the_host_together(tmp_path: Path) -> None:
    first = OutboxWriter(tmp_path, max_bytes=1 << 20)
    while first.append(packed(b"x" * 10_000), is_failure=False):
        pass
    assert not OutboxWriter(tmp_path, max_bytes=1 << 20).append(packed(b"x"), is_failure=False)


def test_append_succeeds_again_after_a_segment_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(writer, "monotonic", lambda: clock[0])
    outbox = OutboxWriter(tmp_path, max_bytes=1 << 20)
    while outbox.append(packed(b"x" * 10_000), is_failure=False):
        pass
    next(only_folder(tmp_path).glob("*.seg")).unlink()
    clock[0] += 2
    assert outbox.append(packed(b"again"), is_failure=False)


def test_append_is_refused_below_the_minimum_free_space(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = OutboxWriter(tmp_path, min_free=1.0)
    assert not outbox.append(packed(b"x", is_failure=True), is_failure=True)
    assert "short of space" in caplog.text


def test_append_succeeds_within_seconds_after_the_disk_has_space_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, free = [0.0], [50]
    monkeypatch.setattr(writer, "monotonic", lambda: clock[0])
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_blocks=100, f_bavail=free[0]))
    outbox = OutboxWriter(tmp_path)
    assert outbox.append(packed(b"one"), is_failure=False)
    free[0] = 0
    clock[0] += 2
    assert not outbox.append(packed(b"two"), is_failure=True)
    free[0] = 50
    clock[0] += 2
    assert outbox.append(packed(b"three"), is_failure=False)


def test_unusable_directory_is_counted_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    outbox = OutboxWriter(tmp_path / "file" / "outbox")
    assert not any(outbox.append(packed(b"x"), is_failure=True) for _ in range(10))
    assert outbox.totals == Totals(0, 10, 10, 0)
    assert len(caplog.records) == 1
    assert "cannot be written to" in caplog.text


def test_removed_folder_is_created_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(writer, "monotonic", lambda: clock[0])
    outbox = OutboxWriter(tmp_path)
    outbox.append(packed(b"lost"), is_failure=False)
    subprocess.run(["rm", "-rf", str(only_folder(tmp_path))], check=True)
    clock[0] += 2
    assert outbox.append(packed(b"kept"), is_failure=False)
    assert bodies(only_folder(tmp_path)) == [b"kept"]


def test_descriptor_closed_by_the_service_damages_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service may close an unknown descriptor and reuse its number: no record may go into that other file."""
    clock = [0.0]
    monkeypatch.setattr(writer, "monotonic", lambda: clock[0])
    outbox = OutboxWriter(tmp_path / "outbox")
    outbox.append(packed(b"one"), is_failure=False)
    (segment,) = only_folder(tmp_path / "outbox").glob("*.seg")
    (number,) = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.exists() and link.samefile(segment)]
    os.close(number)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    assert other == number
    clock[0] += 2
    assert outbox.append(packed(b"two"), is_failure=False)
    assert os.fstat(other).st_size == 0
    os.close(other)
    stored = [body for folder in outbox_folders(str(tmp_path / "outbox")) for body in bodies(Path(folder.path))]
    assert sorted(stored) == [b"one", b"two"]


def test_partial_write_is_repaired(tmp_path: Path) -> None:
    """A limit on the file size makes the kernel write only a part of a record, as on a disk that becomes full."""
    script = """
import resource, signal, sys
from tests.unit.outbox.helpers import packed
from stumble.outbox import OutboxWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
outbox = OutboxWriter(sys.argv[1])
print(sum(outbox.append(packed(b"x" * 999), is_failure=False) for _ in range(20)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "20"
    folder = only_folder(tmp_path)
    assert len(segment_numbers(str(folder))) > 3
    records, damages, torn = read_all(folder, live=False)
    assert len(records) == 20
    assert not damages
    assert torn > 0


def test_failed_write_is_refused_and_the_next_one_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = OutboxWriter(tmp_path)
    outbox.append(packed(b"one"), is_failure=False)
    real = os.write

    def torn(fd: int, data: bytes) -> int:
        if data.startswith(b"\xf5"):
            real(fd, data[:20])
            monkeypatch.setattr(os, "write", full)
            return 20
        return real(fd, data)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", torn)
    assert not outbox.append(packed(b"two"), is_failure=False)
    assert not outbox.append(packed(b"three"), is_failure=False)
    monkeypatch.setattr(os, "write", real)
    assert outbox.append(packed(b"four"), is_failure=False)
    records, damages, torn_bytes = read_all(only_folder(tmp_path))
    assert [record.body for record in records] == [b"one", b"four"]
    assert (damages, torn_bytes) == ([], 20)
    assert (outbox.totals.accepted, outbox.totals.refused) == (2, 2)


def test_child_of_a_fork_writes_to_its_own_folder(tmp_path: Path) -> None:
    """Uses a new process: a fork of this one may destroy Kafka clients of other tests, and librdkafka aborts then."""
    script = """
import os, sys
from pathlib import Path
from stumble.outbox import OutboxWriter
from stumble.outbox.folders import is_live, outbox_folders
from tests.unit.outbox.helpers import bodies, packed
outbox = OutboxWriter(sys.argv[1])
outbox.append(packed(b"parent 1"), is_failure=False)
parent = outbox.path
pid = os.fork()
if pid == 0:
    done = outbox.append(packed(b"child"), is_failure=False) and outbox.totals.accepted == 1
    os._exit(0 if done else 1)
assert os.waitpid(pid, 0)[1] == 0
assert outbox.append(packed(b"parent 2"), is_failure=False)
assert bodies(Path(parent)) == [b"parent 1", b"parent 2"]
live = {folder.path: is_live(folder) for folder in outbox_folders(sys.argv[1])}
assert len(live) == 2
assert [path for path, held in live.items() if held] == [parent]
(child,) = set(live) - {parent}
assert bodies(Path(child)) == [b"child"]
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr


def test_lock_survives_readers_in_the_same_process(tmp_path: Path) -> None:
    """Closing any descriptor of a locked file releases the lock of the process: a reader must not do that."""
    outbox = OutboxWriter(tmp_path)
    outbox.append(packed(b"one"), is_failure=False)
    (folder,) = outbox_folders(str(tmp_path))
    assert is_live(folder)
    script = f"from stumble.outbox.access import FolderFiles; print(FolderFiles({folder.path!r}).is_locked('lock'))"
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=_environment()
        )
        assert done.stdout.strip() == "True"
        assert is_live(folder)


def test_concurrent_appends_of_threads_lose_nothing(tmp_path: Path) -> None:
    outbox = OutboxWriter(tmp_path, max_bytes=2 << 20, min_free=0)
    accepted: list[bytes] = []

    def work(name: int) -> None:
        for number in range(200):
            body = b"%d-%d-" % (name, number) + b"x" * 1000
            if outbox.append(packed(body), is_failure=False):
                accepted.append(body)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 1600
    stored = [body for folder in outbox_folders(str(tmp_path)) for body in bodies(Path(folder.path))]
    assert set(stored) == set(accepted)
    assert sum(len(segment_numbers(folder.path)) for folder in outbox_folders(str(tmp_path))) > 2


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_file_with_holes_does_not_fill_the_outbox(tmp_path: Path) -> None:
    folder = tmp_path / f"uid-{os.geteuid()}" / "svc-1-aa"
    folder.mkdir(parents=True)
    with (folder / "00000001.seg").open("wb") as file:
        file.write(bytes(10_000))
        file.truncate(1 << 40)
    used, folders = outbox_usage(str(tmp_path))
    assert folders == 1
    assert 10_000 <= used < 1 << 20
    assert OutboxWriter(tmp_path).append(packed(b"one"), is_failure=False)


def test_files_of_another_user_do_not_count(tmp_path: Path) -> None:
    foreign = tmp_path / f"uid-{os.geteuid() + 1}" / "svc-1-aa"
    foreign.mkdir(parents=True)
    (foreign / "00000001.seg").write_bytes(bytes(10_000))
    assert outbox_usage(str(tmp_path)) == (0, 1)


@pytest.mark.parametrize(
    ("about", "read"),
    [
        ({"service": "a", "x": "y", "host": ["h"]}, {"service": "a"}),
        ({"labels": {"a": "b", "c": [1], "d": 1}}, {"labels": {"a": "b", "d": 1}}),
        ({"labels": {str(number): "" for number in range(100)}}, {"labels": {str(number): "" for number in range(64)}}),
        ({"service": "a" * 20_000}, {}),
    ],
)
def test_only_known_fields_of_a_small_description_are_read(
    tmp_path: Path, about: dict[str, object], read: dict[str, object]
) -> None:
    (tmp_path / "about.json").write_text(json.dumps(about))
    assert read_about(str(tmp_path)) == read


def test_directories_of_others_in_memory_do_not_fill_the_outbox(tmp_path: Path) -> None:
    """Any user may create a directory in /dev/shm that is named like one of this outbox."""
    foreign = Path(memory_root(str(tmp_path / "outbox"), os.geteuid() + 1))
    (foreign / "svc-1-aa").mkdir(parents=True)
    try:
        with (foreign / "svc-1-aa" / "00000001.seg").open("wb") as file:
            file.truncate(1 << 40)
        assert outbox_usage(str(tmp_path / "outbox")) == (0, 0)
        assert OutboxWriter(tmp_path / "outbox").append(packed(b"one"), is_failure=False)
    finally:
        shutil.rmtree(foreign)
