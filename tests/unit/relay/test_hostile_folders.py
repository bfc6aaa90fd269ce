"""Folders with anything in them: the relay serves its users only, follows no link, and one folder delays no other."""

from __future__ import annotations

import gc
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from prometheus_client import generate_latest

from stumble.emitter import Emitter
from stumble.outbox import Envelope, OutboxReader, RecordChunk, pack_record
from stumble.outbox.access import FolderFiles
from stumble.outbox.folders import memory_root
from stumble.outbox.record import segment_header
from stumble.relay import Relay, build_relay
from stumble.relay import rejected as rejected_events
from stumble.relay.rejected import read_rejected
from stumble.settings.base import Settings
from stumble.wire.codec import encode_record
from stumble.wire.schemas import EVENT, PRODUCER_STATUS, Schema

BuildRelay = Callable[..., Relay]
OTHER_USER = 31337


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    path = tmp_path / "outbox"
    path.mkdir()
    return path


@pytest.fixture
def start_relay(outbox: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BuildRelay]:
    relays = []

    def start(**settings: str) -> Relay:
        for name, value in settings.items():
            monkeypatch.setenv(f"STUMBLE_RELAY_{name.upper()}", value)
        relays.append(build_relay(Settings(outbox_dir=outbox, host="cmp1", kafka={"bootstrap_servers": "127.0.0.1:9"})))
        return relays[-1]

    yield start
    while relays:
        relays[-1].stop()
        relays.pop().run()  # closes its files
    gc.collect()  # the threads of Kafka's client end with their producer


def folder(outbox: Path, name: str = "svc-1-aa") -> Path:
    path = outbox / f"uid-{os.geteuid()}" / name
    path.mkdir(parents=True)
    return path


def record(event: dict[str, Any] | bytes, schema: Schema = EVENT) -> bytes:
    body = event if isinstance(event, bytes) else encode_record(schema, event)
    envelope = Envelope(schema.fingerprint, time.time_ns() // 1000, uuid.uuid4().bytes, b"key", b"nova-compute:cmp1")
    return pack_record(envelope, body)


def write_segment(path: Path, *records: bytes) -> None:
    (path / "00000001.seg").write_bytes(segment_header() + b"".join(records))


def turn(relay: Relay, times: int = 5) -> None:
    for _ in range(times):
        relay.run_once()


def rejected(outbox: Path) -> list[dict[str, Any]]:
    return list(read_rejected(outbox / "relay"))


def waiting(relay: Relay) -> dict[str, int]:
    """Return the number of events in flight by folder: no broker answers."""
    return {tail.folder.name: tail.open_deliveries() for tail in relay.tails.all() if tail.open_deliveries()}


def test_event_that_names_another_host_is_rejected_and_the_others_are_sent(
    outbox: Path, start_relay: BuildRelay
) -> None:
    path = folder(outbox)
    write_segment(path, *(record({"phase": "START", "host": host}) for host in ("cmp1", "cmp2", "cmp1")))
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-1-aa": 2}
    write_segment(folder(outbox, "svc-2-bb"), record({"phase": "START", "host": "cmp2"}), record({"phase": "START"}))
    time.sleep(0.3)
    turn(relay)
    assert [row["reason"].partition(",")[0] for row in rejected(outbox)] == [
        "the relay: it names the host 'cmp2'",
        "the relay: it names the host ''",
    ]
    (tail,) = (tail for tail in relay.tails.all() if tail.folder.name == "svc-2-bb")
    assert tail.progress.rejected == 2


@pytest.mark.parametrize(
    ("settings", "host", "is_accepted"),
    [
        ({}, "cmp1", True),
        ({}, "CMP1", False),
        ({}, "cmp1x", False),
        ({"hosts": "ironic-1,ironic-2"}, "ironic-2", True),
        ({"hosts": "ironic-1,ironic-2"}, "cmp1", False),
        ({"hosts": "nova-conductor-*"}, "nova-conductor-5f", True),
        ({"hosts": "*"}, "any", True),
        ({"bridge_users": str(os.geteuid())}, "any", True),
    ],
)
def test_hosts_that_events_may_name_are_configured(
    outbox: Path, start_relay: BuildRelay, settings: dict[str, str], host: str, is_accepted: bool
) -> None:
    write_segment(folder(outbox), record({"phase": "START", "host": host}))
    relay = start_relay(**settings)
    turn(relay)
    assert bool(waiting(relay)) is is_accepted
    assert bool(rejected(outbox)) is not is_accepted


@pytest.mark.parametrize(
    "unreadable",
    [
        b"junk",
        b"",
        b"\x02",
        b"\x02\x08cmp1junk",
        encode_record(EVENT, {"host": "cmp1"}) + b"x",
        b"\x02\xff\xff\xff\x0fx",
    ],
)
def test_body_that_is_no_event_is_rejected(outbox: Path, start_relay: BuildRelay, unreadable: bytes) -> None:
    good = record({"phase": "START", "host": "cmp1"})
    write_segment(folder(outbox), record(unreadable))
    write_segment(folder(outbox, "svc-2-bb"), *[good] * 500, *[record(unreadable)] * 500, good)
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-2-bb": 501}
    assert len(rejected(outbox)) == 1


def test_record_of_another_type_is_rejected(outbox: Path, start_relay: BuildRelay) -> None:
    write_segment(folder(outbox), record({"host": "cmp1", "process": "x"}, PRODUCER_STATUS))
    turn(start_relay())
    assert [row["reason"] for row in rejected(outbox)] == ["the relay: it is a stumble.ProducerStatus, not an event"]


@pytest.mark.parametrize("settings", [{}, {"users": str(OTHER_USER)}], ids=["default", "configured"])
def test_folders_of_other_users_are_served_only_if_they_are_configured(
    outbox: Path, start_relay: BuildRelay, settings: dict[str, str]
) -> None:
    if os.geteuid():
        pytest.skip("only root can create the folders of another user")
    in_memory = Path(memory_root(str(outbox), OTHER_USER))
    try:
        for user, name in ((outbox / f"uid-{OTHER_USER}", "svc-1-aa"), (in_memory, "svc-2-bb")):
            (user / name).mkdir(parents=True)
            write_segment(user / name, record({"phase": "START", "host": "cmp1"}))
            for path in (user, user / name, user / name / "00000001.seg"):
                os.chown(path, OTHER_USER, OTHER_USER)
        relay = start_relay(**settings)
        turn(relay)
        assert waiting(relay) == ({"svc-1-aa": 1, "svc-2-bb": 1} if settings else {})
        assert bool(relay.tails.all()) is bool(settings)
    finally:
        for path in sorted(in_memory.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        in_memory.rmdir()


def test_folder_whose_files_belong_to_another_user_is_not_read(outbox: Path, start_relay: BuildRelay) -> None:
    if os.geteuid():
        pytest.skip("only root can create the files of another user")
    path = folder(outbox)
    write_segment(path, record({"phase": "START", "host": "cmp1"}))
    os.chown(path / "00000001.seg", OTHER_USER, OTHER_USER)
    write_segment(folder(outbox, "svc-2-bb"), record({"phase": "START", "host": "cmp1"}))
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-2-bb": 1}


@pytest.mark.parametrize("mode", [0o777, 0o707])
def test_folder_that_every_user_may_write_to_is_not_read(outbox: Path, start_relay: BuildRelay, mode: int) -> None:
    path = folder(outbox)
    write_segment(path, record({"phase": "START", "host": "cmp1"}))
    path.chmod(mode)
    relay = start_relay()
    turn(relay)
    assert not waiting(relay)
    path.chmod(0o770)
    deadline = time.monotonic() + 30
    while not waiting(relay) and time.monotonic() < deadline:
        relay.run_once()
    assert waiting(relay) == {"svc-1-aa": 1}


def test_links_are_not_followed_and_nothing_behind_them_is_removed(
    outbox: Path, start_relay: BuildRelay, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    write_segment(target, record({"phase": "START", "host": "cmp1"}))
    path = folder(outbox)
    (path.parent / "svc-2-bb").symlink_to(target)
    (path / "00000001.seg").symlink_to(target / "00000001.seg")
    (path / "00000000.seg").symlink_to(target / "00000001.seg")
    write_segment(folder(outbox, "svc-3-cc"), record({"phase": "START", "host": "cmp1"}))
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-3-cc": 1}
    assert [entry.name for entry in target.iterdir()] == ["00000001.seg"]


def test_folder_that_becomes_a_link_is_not_removed_through_the_link(
    outbox: Path, start_relay: BuildRelay, tmp_path: Path
) -> None:
    path = folder(outbox)
    write_segment(path)
    relay = start_relay()
    turn(relay)
    target = tmp_path / "target"
    path.rename(target)
    path.symlink_to(target)
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        relay.run_once()
    assert [entry.name for entry in target.iterdir()] == ["00000001.seg"]


@pytest.mark.parametrize("name", ["00000001.seg", "about.json", "counters", "lock"])
def test_special_files_delay_no_other_folder(outbox: Path, start_relay: BuildRelay, name: str) -> None:
    os.mkfifo(folder(outbox) / name)
    write_segment(folder(outbox, "svc-2-bb"), record({"phase": "START", "host": "cmp1"}))
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-2-bb": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("about.json", b"[" * 200_000),
        ("about.json", b'{"started_at": ' + b"9" * 40 + b"}"),
        ("about.json", b'{"started_at": 5e300, "ready_at": "x", "host": {"a": []}, "labels": {"a": [1]}}'),
        ("about.json", json.dumps({"host": "cmp2", "service": "x" * 100_000}).encode()),
        ("counters", b"%08x %s" % (crc32(b"9" * 200 + b" 0 0 0"), b"9" * 200 + b" 0 0 0")),
        ("9" * 200 + ".seg", b""),
        ("\u0660" * 7 + "\u0665.seg", b""),
        (f"{EVENT.fingerprint.hex()}.v{'9' * 200}.avsc", b"{}"),
    ],
)
def test_files_with_hostile_content_stop_neither_the_folder_nor_the_relay(
    outbox: Path, start_relay: BuildRelay, name: str, content: bytes
) -> None:
    path = folder(outbox)
    (path / name).write_bytes(content)
    write_segment(path, record({"phase": "START", "host": "cmp1"}))
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-1-aa": 1}


def test_unfinished_folder_with_deep_directories_does_not_end_the_relay(outbox: Path, start_relay: BuildRelay) -> None:
    write_segment(folder(outbox), record({"phase": "START", "host": "cmp1"}))
    user = outbox / f"uid-{os.geteuid()}"
    for name in (".new-deep", ".new-flat"):
        (user / name).mkdir(mode=0o770)
    (user / ".new-flat" / "lock").touch()
    for _ in range(1200):  # from the inside to the outside: the whole path is too long for a system call
        (user / ".new-d").mkdir()
        (user / ".new-deep").rename(user / ".new-d" / "d")
        (user / ".new-d").rename(user / ".new-deep")
    for name in (".new-deep", ".new-flat"):
        os.utime(user / name, (0, 0))
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-1-aa": 1}
    assert not (user / ".new-flat").exists()
    deep = user / ".new-deep"
    while deep.exists():  # `shutil.rmtree`, also that of pytest, cannot remove it
        inner = deep / "d"
        if inner.exists():
            inner.rename(user / ".new-d")
            deep.rmdir()
            (user / ".new-d").rename(deep)
        else:
            deep.rmdir()


def test_folders_whose_rejected_events_cannot_be_stored_delay_no_other_folder(
    outbox: Path, start_relay: BuildRelay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rejected_events, "MOST_BYTES_OF_RELAY", 500)
    forbidden = record(b"\x02\x08cmp2" + bytes(200_000))
    for number in range(10):
        write_segment(folder(outbox, f"svc-{number}-aa"), *[forbidden] * 12)
    relay = start_relay()
    turn(relay, 40)
    write_segment(folder(outbox, "svc-good-bb"), record({"phase": "START", "host": "cmp1"}))
    time.sleep(0.3)
    turn(relay)
    assert waiting(relay) == {"svc-good-bb": 1}
    assert relay.tails.in_flight < 1 << 20
    assert any("relay/rejected.jsonl in the outbox directory is full; find out" in text for text in caplog.messages)
    assert "Errno" not in caplog.text
    assert ".." not in caplog.text


def test_records_of_an_unknown_schema_cost_one_listing_for_a_chunk(
    outbox: Path, start_relay: BuildRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(outbox)
    good, body = record({"phase": "START", "host": "cmp1"}), encode_record(EVENT, {"phase": "START", "host": "cmp1"})
    envelope = Envelope(b"unknown!", 1, uuid.uuid4().bytes, b"key", b"nova-compute:cmp1")
    write_segment(path, good, *[pack_record(envelope, body)] * 500, good)
    listings: list[str] = []
    names = FolderFiles.names

    def count(files: FolderFiles) -> list[str]:
        listings.append(files.path)
        return names(files)

    monkeypatch.setattr(FolderFiles, "names", count)
    relay = start_relay()
    turn(relay)
    assert waiting(relay) == {"svc-1-aa": 1}
    assert len(listings) < 30


def test_segment_with_holes_does_not_delay_the_age_of_the_oldest_event(
    outbox: Path, start_relay: BuildRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(outbox)
    write_segment(path)
    with (path / "00000001.seg").open("ab") as file:
        file.truncate(4 << 30)
    (path / "00000002.seg").touch()  # the first segment is final now
    relay = start_relay()
    turn(relay)
    (tail,) = relay.tails.all()
    tail.rewind(0.0)
    reads, read = [], OutboxReader.read

    def counted(*arguments: Any, **options: Any) -> RecordChunk:
        reads.append(arguments)
        return read(*arguments, **options)

    monkeypatch.setattr(OutboxReader, "read", counted)
    assert tail.oldest() is None
    assert len(reads) <= 4


def test_delivered_chunk_is_settled_while_its_folder_cannot_be_read(outbox: Path, start_relay: BuildRelay) -> None:
    path = folder(outbox)
    write_segment(path, record({"phase": "START", "host": "cmp1"}))
    relay = start_relay()
    turn(relay)
    (tail,) = relay.tails.all()
    (sent_chunk,) = tail.chunks
    path.chmod(0o777)
    tail.wait(time.monotonic())
    sent_chunk.open, sent_chunk.acknowledged = 0, sent_chunk.count
    deadline = time.monotonic() + 30
    while tail.chunks:
        assert time.monotonic() < deadline
        turn(relay)
    path.chmod(0o770)


def test_name_of_a_service_that_utf8_cannot_encode_stops_no_scrape(outbox: Path, start_relay: BuildRelay) -> None:
    path = folder(outbox)
    write_segment(path, record({"phase": "START", "host": "cmp1"}))
    (path / "about.json").write_text('{"service": "a\\ud800"}')
    relay = start_relay()
    turn(relay)
    text = generate_latest(relay.registry).decode()
    assert 'service="a\ufffd"' in text


def test_names_that_no_writer_gives_are_ignored(outbox: Path, start_relay: BuildRelay) -> None:
    path = folder(outbox)
    write_segment(path, record({"phase": "START", "host": "cmp1"}))
    for name in (b"x-\xff\xfe\n\x1b[31m", b"x" * 200, b"-x", b"a b"):
        (path.parent / os.fsdecode(name)).mkdir()
    relay = start_relay()
    turn(relay)
    assert [tail.folder.name for tail in relay.tails.all()] == ["svc-1-aa"]


def test_noise_is_dropped_when_the_quarantine_is_full(outbox: Path, start_relay: BuildRelay) -> None:
    marks = b"\xf5ST\x01" + (200_000).to_bytes(4, "little") + b"\0" * 4
    for number in range(5):
        noise = os.urandom(5 << 20) if number % 2 else marks * (5 << 20 // len(marks))
        write_segment(folder(outbox, f"svc-{number}-aa"), noise[: 5 << 20], record({"phase": "START", "host": "cmp1"}))
    relay = start_relay()
    deadline = time.monotonic() + 120
    while len(waiting(relay)) < 5 and time.monotonic() < deadline:
        relay.run_once()
    assert len(waiting(relay)) == 5
    stored = sum(path.stat().st_size for path in (outbox / "relay" / "quarantine").iterdir())
    assert stored <= 16 << 20


def test_finished_folders_cost_no_turn_and_are_removed(outbox: Path, start_relay: BuildRelay) -> None:
    for number in range(1000):
        write_segment(folder(outbox, f"svc-{number}-aa"))
    relay = start_relay()
    turn(relay, 30)
    assert relay.tails.due(time.monotonic()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) < 500
    deadline = time.monotonic() + 60
    while list(relay.tails.all()) and time.monotonic() < deadline:
        relay.run_once()
    assert not any((outbox / f"uid-{os.geteuid()}").iterdir())


def test_one_line_is_logged_for_all_folders_with_the_same_fault(
    outbox: Path, start_relay: BuildRelay, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        path = folder(outbox, f"svc-{number}-aa")
        (path / "00000001.seg").symlink_to("/etc/passwd")
    turn(start_relay())
    assert len([text for text in caplog.messages if " waits: " in text]) == 1


def test_folder_of_the_relay_that_is_a_link_is_refused(outbox: Path, start_relay: BuildRelay, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (outbox / "relay").symlink_to(tmp_path / "target")
    with pytest.raises(Exception, match="The relay cannot write to"):
        start_relay()
    assert not list((tmp_path / "target").iterdir())


@pytest.mark.parametrize(("name", "value"), [("users", "no-such-user-1"), ("bridge_users", "no-such-user-1")])
def test_unknown_user_in_the_settings_is_one_sentence(start_relay: BuildRelay, name: str, value: str) -> None:
    with pytest.raises(Exception, match=f"STUMBLE_RELAY_{name.upper()}.*has no user no-such-user-1"):
        start_relay(**{name: value})


def test_live_process_is_read_between_idle_ones(outbox: Path, start_relay: BuildRelay) -> None:
    emitters = [Emitter(outbox, service=f"s{number}", host="cmp1") for number in range(30)]
    for emitter in emitters:
        emitter.announce()
    relay = start_relay()
    turn(relay)
    assert not waiting(relay)
    assert emitters[17].emit({"phase": "START"})
    turn(relay)
    assert sum(waiting(relay).values()) == 1
