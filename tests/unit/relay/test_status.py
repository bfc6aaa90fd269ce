"""The status of a folder: what its process says of itself is bounded, and it names only hosts that it may name."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from stumble.outbox.folders import OutboxFolder
from stumble.relay import status
from stumble.relay.authority import Authority
from stumble.relay.cursors import Progress
from stumble.relay.outbox_tail import OutboxTail
from stumble.wire.codec import encode_record
from stumble.wire.schemas import PRODUCER_STATUS

MINUTE_US = 60_000_000


def of(path: Path, about: dict[str, Any], *, bridges: frozenset[int] = frozenset()) -> dict[str, Any]:
    """Return the status of a folder of the user of this test, with this about.json."""
    folder = path / "uid-0" / "svc-1-aa"
    folder.mkdir(parents=True)
    (folder / "about.json").write_text(json.dumps(about))
    uid = folder.stat().st_uid
    tail = OutboxTail(OutboxFolder(uid, folder.name, str(folder)), Progress())
    tail.inspect(1.0)
    tail.close()
    result = status.of_folder(tail, Authority("cmp1", frozenset({uid}), bridges and frozenset({uid}), "cmp1".__eq__))
    encode_record(PRODUCER_STATUS, result)
    return result


def test_process_reports_its_own_host_and_start(tmp_path: Path) -> None:
    started_at = time.time_ns() // 1000 - MINUTE_US
    result = of(tmp_path, {"host": "cmp1", "service": "nova-compute", "started_at": started_at, "ready_at": started_at})
    assert (result["host"], result["service"], result["started_at"]) == ("cmp1", "nova-compute", started_at)
    assert (result["ready_at"], result["alive"]) == (started_at, False)
    assert result["attributes"] == {"relay_host": "cmp1", "refused_failures": "0"}


def test_process_that_names_another_host_is_reported_for_the_host_of_the_relay(tmp_path: Path) -> None:
    result = of(tmp_path, {"host": "cmp2" * 100})
    assert result["host"] == "cmp1"
    assert result["attributes"]["claimed_host"].startswith("cmp2")


def test_process_of_a_bridge_may_name_another_host(tmp_path: Path) -> None:
    assert of(tmp_path, {"host": "cmp2"}, bridges=frozenset({0}))["host"] == "cmp2"


@pytest.mark.parametrize("moment", [0, -1, 10**15, 10**40, 1.5, "1", True, None, [], 4 * 10**15])
def test_time_that_is_none_or_out_of_bounds_is_absent(tmp_path: Path, moment: object) -> None:
    result = of(tmp_path, {"host": "cmp1", "started_at": moment, "ready_at": moment})
    assert (result["started_at"], result["ready_at"]) == (None, None)
