"""From an emitter to a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from stumble.producers.outbox.folder import places
from stumble.schemas.wire.codec import Decoder, unframe
from stumble.schemas.wire.headers import record_headers
from stumble.schemas.wire.schemas import EVENT, PRODUCER_STATUS
from tests.integration.relay.helpers import drain, emitter, environment, event, numbers, relaying, wait_for


@pytest.fixture
def prefix(new_topic: Callable[..., str]) -> str:
    prefix = f"{uuid.uuid4().hex[:8]}."
    new_topic(f"{prefix}instance-actions", partitions=3)
    new_topic(f"{prefix}instance-action-producers", partitions=1)
    return prefix


def test_event_arrives_with_key_headers_and_framing(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = event(1, event_id="01890a5d-ac96-774b-bcce-b302099a8057", occurred_at=1_700_000_000_123_456)
    assert sender.emit(given, traceparent=trace)
    with relaying(outbox, kafka, prefix):
        (message,) = drain(kafka, f"{prefix}instance-actions", lambda found: len(found) == 1)
    assert message.key() == given["instance_uuid"].encode()
    expected = record_headers(EVENT, "nova-compute:cmp1", given["event_id"], given["occurred_at"], trace)
    assert message.headers() == expected
    assert unframe(message.value()).fingerprint == EVENT.fingerprint
    decoded = Decoder(EVENT).decode(message.value())
    assert (decoded["cell"], decoded["host"], decoded["occurred_at"]) == ("cell1", "cmp1", given["occurred_at"])


def test_order_of_a_folder_is_kept_and_a_dead_ones_folder_goes(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    script = (
        "import sys; from tests.integration.relay.helpers import emitter, event\n"
        "e = emitter(sys.argv[1])\n"
        "print(sum(e.emit(event(n, instance_uuid='00000000-0000-0000-0000-000000000001')) for n in range(3000)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(outbox)],
        capture_output=True, text=True, check=True, env=environment(kafka, prefix) | {"PYTHONPATH": _path()},
    )  # fmt: skip
    assert done.stdout.strip() == "3000"
    with relaying(outbox, kafka, prefix) as relay:
        messages = drain(kafka, f"{prefix}instance-actions", lambda found: len(found) == 3000)
        assert numbers(messages) == list(range(3000))
        wait_for(lambda: not places(str(outbox)))
        assert relay.kill(signal.SIGTERM) == 0
        assert "stopped" in relay.text()
    statuses = drain(
        kafka,
        f"{prefix}instance-action-producers",
        lambda found: any(b"uid-" in m.key() and not _status(m)["alive"] for m in found),
    )
    last = [_status(m) for m in statuses if b"uid-" in m.key()][-1]
    assert (last["sent_total"], last["backlog_events"], last["alive"]) == (3000, 0, False)


def test_second_relay_says_one_sentence_and_ends(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    with relaying(outbox, kafka, prefix) as first:
        wait_for(lambda: "serving" in first.text())
        with relaying(outbox, kafka, prefix) as second:
            assert second.process.wait(30) == 1
            (line,) = second.text().splitlines()
            assert f"process {first.process.pid}" in line
            assert "already serves" in line
        assert first.process.poll() is None


def test_status_tells_of_every_folder_and_of_the_relay(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox, labels={"rack": "r1"}, about={"tap": "on"})
    assert all(sender.emit(event(n)) for n in range(10))
    with relaying(outbox, kafka, prefix, "--status-interval", "1"):
        statuses = drain(
            kafka,
            f"{prefix}instance-action-producers",
            lambda found: any(_status(m)["sent_total"] == 10 and m.key().startswith(b"cmp1/") for m in found),
        )
    status = next(_status(m) for m in reversed(statuses) if m.key().startswith(b"cmp1/"))
    assert status["process"].startswith(f"uid-{os.geteuid()}/nova-compute-")
    assert (status["tap"], status["durability"], status["labels"]) == ("on", "process", {"rack": "r1"})
    assert (status["alive"], status["backlog_events"], status["oldest_unsent_at"]) == (True, 0, None)
    assert (status["accepted_total"], status["refused_total"]) == (10, 0)
    assert any(m.key().endswith(b"/relay") for m in statuses)


def _status(message: object) -> dict[str, object]:
    return Decoder(PRODUCER_STATUS).decode(message.value())  # type: ignore[attr-defined]


def _path() -> str:
    return os.pathsep.join(path for path in sys.path if path)
