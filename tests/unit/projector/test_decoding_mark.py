"""A record that ends the process while it is decoded is set aside at the third start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.services import ROOT, cli_environment

#: Collects records 0 to 2 of partition 5; prints the offsets and stages of the bad ones. Decoding DEADLY kills the
#: process, as a fault of a native library would.
_PROGRAM = """
import logging, os, signal, sys
from pathlib import Path
from stumble.ingest.decoding import EventDecoder
from stumble.projector.batch_collector import BatchCollector
from stumble.projector.bridged_hosts import BridgedHosts
from stumble.projector.decoding_mark import DecodingMark
from stumble.projector.health import ProjectorHealth
from stumble.projector.partitions import Partition
from stumble.projector.signature_rejections import SignatureRejections
from stumble.runtime.state_log import StateLog
from stumble.testing.events import event, framed
from stumble.testing.in_memory import InMemoryRecord

class Deadly(EventDecoder):
    def decode_event(self, record, value, partition, offset):
        if offset == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode_event(record, value, partition, offset)

log = logging.getLogger("test")
rejections = SignatureRejections(ProjectorHealth(60), log)
mark = DecodingMark(Path(sys.argv[1]), "instance-actions", StateLog(log))
collector = BatchCollector(Deadly(), BridgedHosts(), 100, 1 << 20, rejections, mark)
partition = Partition(5, 0, 0)
for offset in range(3):
    record = InMemoryRecord(framed(event()), 5, offset, timestamp_ms=int(sys.argv[3]))
    collector.add_record(record, partition, offset)
print([(bad.offset, bad.error.stage, str(bad.error.cause)) for bad in collector.take_batch().bad])
"""


def collect(folder: Path, *, deadly: int, timestamp: int = 1_700_000_000_000) -> tuple[int, str, str]:
    """Run the program; return its exit status and what it printed and logged."""
    command = [sys.executable, "-c", _PROGRAM, str(folder), str(deadly), str(timestamp)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=cli_environment(), check=False)
    return ended.returncode, ended.stdout.strip(), ended.stderr


def test_record_that_ended_the_process_twice_becomes_a_bad_record_without_being_decoded(tmp_path: Path) -> None:
    assert collect(tmp_path, deadly=1)[0] == -signal.SIGKILL
    status, _, logged = collect(tmp_path, deadly=1)
    assert status == -signal.SIGKILL
    assert "An earlier process ended while it decoded the record at offset 1 of partition 5" in logged
    status, printed, _ = collect(tmp_path, deadly=1)
    assert (status, printed) == (
        0,
        "[(1, 'crash', 'The projector ended 2 times while it decoded this record.')]",
    )


def test_process_that_ended_by_two_different_records_decodes_both_again(tmp_path: Path) -> None:
    assert collect(tmp_path, deadly=1)[0] == collect(tmp_path, deadly=2)[0] == -signal.SIGKILL
    assert collect(tmp_path, deadly=-1)[:2] == (0, "[]")


def test_other_record_at_the_same_offset_is_decoded(tmp_path: Path) -> None:
    for _ in range(2):
        assert collect(tmp_path, deadly=1)[0] == -signal.SIGKILL
    assert collect(tmp_path, deadly=-1, timestamp=1_800_000_000_000)[:2] == (0, "[]")


def test_directory_that_cannot_be_used_is_logged_once_and_records_are_decoded(tmp_path: Path) -> None:
    status, printed, logged = collect(tmp_path / "missing", deadly=-1)
    assert (status, printed) == (0, "[]")
    assert logged.count("Set STUMBLE_STATE_DIR to a directory that the projector may write to.") == 1
