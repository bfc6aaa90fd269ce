"""Reading of segment parts that hold no sound record."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from stumble.outbox import Envelope, OutboxCursor, OutboxReader, pack_record
from stumble.outbox.access import UnsafeEntry
from stumble.outbox.reader import NewerFormat
from stumble.outbox.record import MARK, segment_header
from tests.unit.outbox.helpers import packed, read_all

ONE, TWO = packed(b"one"), packed(b"two")


def segment(folder: Path, *parts: bytes, number: int = 1) -> Path:
    path = folder / f"{number:08d}.seg"
    path.write_bytes(segment_header() + b"".join(parts))
    return path


def flipped(record: bytes, at: int) -> bytes:
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


@pytest.mark.parametrize("cut", [1, 3, 5, 11, 12, 13, 40, len(ONE) - 1])
def test_torn_tail_is_cut_once_the_segment_is_final(tmp_path: Path, cut: int) -> None:
    segment(tmp_path, ONE, TWO[:cut])
    assert [r.body for r in read_all(tmp_path, live=True)[0]] == [b"one"]
    records, damages, torn = read_all(tmp_path, live=False)
    assert ([r.body for r in records], damages, torn) == ([b"one"], [], cut)
    segment(tmp_path, TWO, number=2)
    records, damages, torn = read_all(tmp_path, live=True)
    assert ([r.body for r in records], damages, torn) == ([b"one", b"two"], [], cut)


def test_incomplete_record_of_a_live_segment_is_waited_for(tmp_path: Path) -> None:
    path = segment(tmp_path, ONE, TWO[:20])
    reader = OutboxReader(tmp_path)
    chunk = reader.read(OutboxCursor(1, 0), live=True)
    assert [r.body for r in chunk.records] == [b"one"]
    assert reader.read(chunk.end, live=True).end == chunk.end
    assert not reader.has_more(chunk.end)
    with path.open("ab") as file:
        file.write(TWO[20:])
    assert reader.has_more(chunk.end)
    assert [r.body for r in reader.read(chunk.end, live=True).records] == [b"two"]
    reader.close()


@pytest.mark.parametrize("cut", [1, 11, 12, 40])
def test_partial_record_before_a_sound_record_is_torn_not_damaged(tmp_path: Path, cut: int) -> None:
    segment(tmp_path, ONE[:cut], TWO)
    records, damages, torn = read_all(tmp_path)
    assert [r.body for r in records] == [b"two"]
    if cut >= 12:  # the partial record includes its length
        assert (damages, torn) == ([], cut)


@pytest.mark.parametrize("at", range(0, len(ONE), 7))
def test_damaged_middle_is_returned_as_damage_and_the_rest_is_read(tmp_path: Path, at: int) -> None:
    segment(tmp_path, ONE, flipped(ONE, at), TWO)
    records, damages, torn = read_all(tmp_path)
    assert [r.body for r in records] == [b"one", b"two"]
    assert b"".join(d.data for d in damages) == flipped(ONE, at) or torn == len(ONE)


def test_damaged_last_record_of_a_final_segment_is_damage(tmp_path: Path) -> None:
    segment(tmp_path, ONE, flipped(TWO, 30))
    assert read_all(tmp_path, live=True)[1] == []
    (damage,) = read_all(tmp_path, live=False)[1]
    assert (damage.segment, damage.offset, damage.data) == (1, 16 + len(ONE), flipped(TWO, 30))


def test_zeros_after_a_power_failure_are_torn(tmp_path: Path) -> None:
    segment(tmp_path, ONE, b"\0" * 5000)
    assert read_all(tmp_path, live=False)[1:] == ([], 5000)


def test_damaged_segment_header_loses_no_record(tmp_path: Path) -> None:
    path = segment(tmp_path, ONE, TWO)
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    records, damages, _ = read_all(tmp_path)
    assert [r.body for r in records] == [b"one", b"two"]
    assert [len(d.data) for d in damages] == [16]


def test_damaged_length_does_not_hide_the_following_records(tmp_path: Path) -> None:
    huge = ONE[:4] + b"\xff\xff\xff\x00" + ONE[8:]
    segment(tmp_path, huge, TWO, *[packed(b"x" * 1000)] * 300)
    records, _, _ = read_all(tmp_path, max_bytes=256 << 10)
    assert len(records) == 301


def test_missing_segment_is_skipped(tmp_path: Path) -> None:
    segment(tmp_path, ONE, number=3)
    segment(tmp_path, TWO, number=7)
    assert [r.body for r in read_all(tmp_path)[0]] == [b"one", b"two"]


def test_newer_format_is_rejected(tmp_path: Path) -> None:
    path = segment(tmp_path, ONE)
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    with pytest.raises(NewerFormat, match="upgrade"):
        OutboxReader(tmp_path).read(OutboxCursor(1, 0), live=True)


def test_envelope_of_a_later_release_is_read(tmp_path: Path) -> None:
    """A later release may add fields to the envelope; this release skips unknown fields."""
    import struct
    from zlib import crc32

    payload = bytearray(ONE[12:])
    size = struct.unpack_from("<H", payload)[0]
    payload[size:size] = b"new field"
    struct.pack_into("<H", payload, 0, size + 9)
    longer = ONE[:4] + struct.pack("<II", len(payload), crc32(payload, len(payload))) + bytes(payload)
    segment(tmp_path, longer, TWO)
    assert [r.body for r in read_all(tmp_path)[0]] == [b"one", b"two"]


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(segment_header() + ONE)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "00000001.seg").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic"):
        OutboxReader(folder).read(OutboxCursor(1, 0), live=False)


def test_segment_of_the_first_release_stays_readable(tmp_path: Path) -> None:
    """Relay and driver may differ by a release: these bytes keep their meaning, and new segments equal them."""
    golden = bytes.fromhex(Path(__file__).with_name("golden-v1.seg.hex").read_text())
    (tmp_path / "00000001.seg").write_bytes(golden)
    (first, second), damages, torn = read_all(tmp_path, live=False)
    assert (damages, torn) == ([], 0)
    assert first.envelope == Envelope(
        fingerprint=bytes(range(1, 9)),
        occurred_at=1_700_000_000_000_000,
        event_id=uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057").bytes,
        key=b"0d7ae9f4-6b3c-4b07-b9d5-bd2b3a8a3c58",
        source=b"nova-compute:cmp1",
        traceparent=b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        is_failure=True,
    )
    assert (first.body, second.body, second.envelope.occurred_at) == (b"body of a failure", b"", -1)
    assert segment_header() + b"".join(pack_record(r.envelope, r.body) for r in (first, second)) == golden


def test_file_of_marks_is_read_in_bounded_steps_and_the_record_after_it_is_found(tmp_path: Path) -> None:
    """Each mark claims a long payload, whose checksum the reader computes: one read tries a few marks only."""
    marks = (MARK + (100_000).to_bytes(4, "little") + bytes(4)) * 20_000
    segment(tmp_path, marks, ONE)
    reader, cursor = OutboxReader(tmp_path), OutboxCursor(1, 0)
    damages = []
    while (chunk := reader.read(cursor, live=False)).end != cursor:
        cursor = chunk.end
        damages.append(sum(damage.data.count(MARK) for damage in chunk.damages))
        records = chunk.records
    reader.close()
    assert [record.body for record in records] == [b"one"]
    assert max(damages) <= 64


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_segment_that_every_user_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    segment(tmp_path, ONE).chmod(mode)
    with pytest.raises(UnsafeEntry, match="every user may write"):
        OutboxReader(tmp_path).read(OutboxCursor(1, 0), live=False)
