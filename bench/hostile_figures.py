"""The cost of hostile input: relay and projector with and without it, in turn, per honest event."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from fastavro import schemaless_writer

from bench import jobs
from bench.projector_figures import project, topics
from bench.relay_figures import role_settings, wait_for_delivery
from bench.report import Report
from bench.roles import role, wait_until
from bench.stack import PARTITIONS, Stack
from bench.stream import events
from stumble.outbox.folders import ABOUT, memory_root, outbox_folders, segment_path
from stumble.outbox.record import Envelope, pack_record, segment_header
from stumble.wire.codec import encode_record, frame_single_object, parse_plain_schema
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import EVENT, PRODUCER_STATUS
from stumble.wire.topics import partition_key

#: The hosts of the benchmark stream.
_HOSTS = "api-* compute-* conductor-*"
_OTHER_HOST = "other-host"
#: A user that no service has.
_OTHER_USER = 31337
_DEAD_FOLDERS, _DAMAGED_SEGMENTS, _FOREIGN_FOLDERS = 1000, 200, 200
_DAMAGED_BYTES = 100_000
_INVENTED_HOSTS = 2000
_LONG_TEXT_BYTES = 200_000
_TEN_YEARS_US = 3650 * 86_400 * 1_000_000
_WITHOUT_LIMITS = parse_plain_schema(EVENT.json)


def measure(report: Report, stack: Stack, *, runs: int, count: int) -> None:
    """Measure the CPU time per honest event of a relay, and of a projector with PostgreSQL."""
    for is_hostile in (False, True):
        _load_projector_input(stack, _projector_prefix(is_hostile), count, is_hostile=is_hostile)
    relay, projector = [], []
    for run in range(runs):
        relay.append(tuple(_relay_cpu_us(stack, run, count, is_hostile=one) for one in (False, True)))
        projector.append(tuple(_projector_cpu_us(stack, count, is_hostile=one) for one in (False, True)))
    for what, cpu in (("relay", relay), ("projector", projector)):
        report.add(f"{what}_honest_cpu_us_per_event", [honest for honest, _ in cpu])
        report.add(f"{what}_hostile_cpu_us_per_event", [hostile for _, hostile in cpu])
        report.add(f"{what}_hostile_cpu_ratio", [hostile / honest for honest, hostile in cpu], "<= 2")


def _relay_cpu_us(stack: Stack, run: int, count: int, *, is_hostile: bool) -> float:
    """Deliver an outbox and remove all its folders; return the relay's CPU time per delivered event (µs)."""
    prefix = f"relay-{'hostile' if is_hostile else 'honest'}{run}-"
    topic = stack.topic(f"{prefix}instance-actions", PARTITIONS)
    stack.topic(f"{prefix}instance-action-producers", 1)
    with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
        outbox = Path(folder) / "outbox"
        jobs.ours("fill", str(outbox), str(count))
        if is_hostile:
            _put_dead_folders(outbox / f"uid-{os.geteuid()}", count // 10)
        settings = role_settings(stack, prefix, outbox, Path(folder)) | {"STUMBLE_RELAY_HOSTS": _HOSTS}
        with _foreign_folders(outbox, is_hostile=is_hostile), role("relay", Path(folder) / "log", **settings) as relay:
            wait_for_delivery(stack, topic, count)
            wait_until("the relay removes all folders", lambda: not outbox_folders(str(outbox)), 120)
            return 1e6 * relay.cpu_seconds() / count


def _put_dead_folders(user: Path, rejected: int) -> None:
    """Put folders of processes that have ended into a user's directory, one with `rejected` events of another host."""
    for number in range(_DEAD_FOLDERS):
        folder = user / f"nova-compute-{number}-dead"
        folder.mkdir()
        (folder / ABOUT).write_text(json.dumps({"host": _OTHER_HOST, "service": "nova-compute"}))
        content = segment_header()
        if number == 0:
            content += b"".join(_outbox_record(event | {"host": _OTHER_HOST}) for event in _honest(rejected))
        elif number <= _DAMAGED_SEGMENTS:
            content += os.urandom(_DAMAGED_BYTES)
        Path(segment_path(str(folder), 1)).write_bytes(content)


def _outbox_record(event: dict[str, Any]) -> bytes:
    event_id = uuid.UUID(event["event_id"]).bytes
    envelope = Envelope(EVENT.fingerprint, event["occurred_at"], event_id, partition_key(event))
    return pack_record(envelope, encode_record(EVENT, event))


@contextmanager
def _foreign_folders(outbox: Path, *, is_hostile: bool) -> Iterator[None]:
    """Let another user create the served user's directory in /dev/shm, with folders; this needs root's rights."""
    parent = Path(memory_root(str(outbox), os.geteuid()))
    try:
        if is_hostile and os.geteuid() == 0:
            for number in range(_FOREIGN_FOLDERS):
                folder = parent / f"nova-compute-{number}-foreign"
                folder.mkdir(parents=True)
                Path(segment_path(str(folder), 1)).write_bytes(segment_header() + os.urandom(1000))
            for path in (parent, *parent.rglob("*")):
                os.chown(path, _OTHER_USER, _OTHER_USER)
        yield
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def _projector_prefix(is_hostile: bool) -> str:
    return f"projector-{'hostile' if is_hostile else 'honest'}-"


def _load_projector_input(stack: Stack, prefix: str, count: int, *, is_hostile: bool) -> None:
    topic, statuses = topics(stack, prefix), stack.topic(f"{prefix}instance-action-producers", 1)
    settings = {"bootstrap.servers": stack.kafka.bootstrap_servers, "partitioner": "murmur2_random", "linger.ms": 20}
    producer = Producer(settings)
    for number in range(_INVENTED_HOSTS if is_hostile else 0):
        key, value = impossible_status(number)
        producer.produce(statuses, key=key, value=value)
    for key, value in records(count, is_hostile=is_hostile):
        producer.produce(topic, key=key, value=value)
        while len(producer) > 10_000:
            producer.poll(0.1)
    if left := producer.flush(60):
        raise RuntimeError(f"Kafka did not acknowledge {left} records of the hostile stream")


def records(count: int, *, is_hostile: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of `count` honest events, and of the hostile records between them.

    For 100 honest events these are 10 with wrong clocks, 1 with a long text, and 1 record that cannot be read.
    """
    for number, event in enumerate(_honest(count)):
        yield partition_key(event), frame_single_object(EVENT, encode_record(EVENT, event))
        if not is_hostile:
            continue
        if number % 10 == 0:
            yield _without_limits(_with_wrong_clock(event, number // 10))
        if number % 100 == 1:
            yield _without_limits(_with_long_text(event))
        if number % 100 == 2:
            yield partition_key(event), os.urandom(500)


def stored_events(count: int, *, is_hostile: bool) -> int:
    """Return how many of these `records` are events."""
    return count + (len(range(0, count, 10)) + len(range(1, count, 100)) if is_hostile else 0)


def impossible_status(number: int) -> tuple[bytes, bytes]:
    """Return key and value of the status of an invented host, whose times and numbers cannot be true."""
    host, process = f"invented-{number % _INVENTED_HOSTS}", "relay"
    least, largest = -(1 << 62), (1 << 62)
    times = {"reported_at": largest, "started_at": least, "oldest_unsent_at": least if number % 2 else largest}
    status = {"host": host, "process": process, "alive": True, "accepted_total": largest, **times}
    return f"{host}/{process}".encode(), frame_single_object(PRODUCER_STATUS, encode_record(PRODUCER_STATUS, status))


def _with_wrong_clock(event: dict[str, Any], number: int) -> dict[str, Any]:
    """Return an event of an invented host and instance, from 1970 or from ten years later."""
    at = number if number % 2 else event["occurred_at"] + _TEN_YEARS_US
    return event | {
        "event_id": new_event_id(at),
        "occurred_at": at,
        "emitted_at": at,
        "host": f"invented-{number % _INVENTED_HOSTS}",
        "instance_uuid": str(uuid.uuid4()),
        "request_id": f"req-{uuid.uuid4()}",
    }


def _with_long_text(event: dict[str, Any]) -> dict[str, Any]:
    text = f"Volume {uuid.uuid4()} of instance {uuid.uuid4()} is busy. "
    failure = {"exception": "VolumeIsBusy", "message": text * (_LONG_TEXT_BYTES // len(text))}
    return event | {
        "event_id": new_event_id(event["occurred_at"]),
        "phase": "ERROR",
        "instance_uuid": str(uuid.uuid4()),
        "request_id": f"req-{uuid.uuid4()}",
        "failure": failure,
    }


def _without_limits(event: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return key and value of an event, its texts as long as its sender made them."""
    body = io.BytesIO()
    schemaless_writer(body, _WITHOUT_LIMITS, event)
    return partition_key(event), frame_single_object(EVENT, body.getvalue())


def _honest(count: int) -> Iterator[dict[str, Any]]:
    return iter(events(success=False, count=count))


def _projector_cpu_us(stack: Stack, count: int, *, is_hostile: bool) -> float:
    url = stack.database()
    try:
        stored = stored_events(count, is_hostile=is_hostile)
        found = project(stack, url, _projector_prefix(is_hostile), stored)
        return float(1e6 * found["all_cpu"] / count)
    finally:
        stack.drop(url)
