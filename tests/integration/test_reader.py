"""The reader in docs/api.md works as documented."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from stumble.wire.codec import encode_record, frame_confluent, frame_single_object
from stumble.wire.headers import record_headers
from stumble.wire.schemas import ACTION_FAILED
from tests.support.command import running
from tests.support.services import ROOT, cli_environment


def snippet() -> str:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
    assert 18 <= len(code.splitlines()) <= 23
    return code


def test_reader_of_the_docs_accepts_each_revision_once_in_any_framing(
    kafka: str, new_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = new_topic(partitions=1)
    producer = Producer({"bootstrap.servers": kafka})

    def send(frame: Callable[[bytes], bytes], **fields: Any) -> None:
        body = encode_record(ACTION_FAILED, {"action": "resize", "exception": "ResizeError", **fields})
        producer.produce(topic, frame(body), key="k", headers=[*record_headers(ACTION_FAILED, "s", "i", 0)])

    def single(body: bytes) -> bytes:
        return frame_single_object(ACTION_FAILED, body)

    send(single, failure_id="f1", revision=1, status="CURRENT", reason="no ssh")
    send(single, failure_id="f1", revision=1, status="CURRENT", reason="no ssh")
    send(lambda body: frame_confluent(7, body), failure_id="f1", revision=2, status="SUPERSEDED", replaced_by="f2")
    send(single, failure_id="f1", revision=1, status="CURRENT", reason="late copy")
    send(single, failure_id="f2", revision=1, status="CURRENT", reason="the end")
    assert producer.flush(60) == 0
    file = tmp_path / "reader.py"
    file.write_text(snippet())
    with running([sys.executable, file, kafka, topic], env=cli_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "the end" in line:
                break
    assert lines == [
        "CURRENT resize ResizeError no ssh",
        "SUPERSEDED resize ResizeError None",
        "CURRENT resize ResizeError the end",
    ]
