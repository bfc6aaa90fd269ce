"""The liveness of the relay."""

from __future__ import annotations

import time
from pathlib import Path

from stumble.relay import build_relay
from stumble.settings.base import Settings


def test_relay_is_not_live_while_its_loop_makes_no_progress(tmp_path: Path) -> None:
    relay = build_relay(Settings(outbox_dir=tmp_path, kafka={"bootstrap_servers": "127.0.0.1:9"}))
    relay.run_once()
    assert relay.live()[0]
    relay.last_loop_at = time.monotonic() - 600
    assert not relay.live()[0]
    relay.run_once()
    assert relay.live()[0]
    relay.stop()
    relay.run()  # closes its files
