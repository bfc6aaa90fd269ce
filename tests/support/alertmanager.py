"""An Alertmanager of Debian's package, in a folder and on a port of its own."""

from __future__ import annotations

import json
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess


def require_alertmanager() -> None:
    """Skip the test where Alertmanager isn't installed."""
    if shutil.which("prometheus-alertmanager") is None:
        pytest.skip("Alertmanager isn't installed: apt-get install prometheus-alertmanager")


class LocalAlertmanager:
    """One server that sends every alert to `webhook` (a URL) without delay, or one with its own `config` (YAML)."""

    def __init__(self, state: Path, webhook: str = "", *, config: str | None = None) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.process = ChildProcess("alertmanager", state, death_signal=signal.SIGTERM)
        self._state = state
        self.url = f"http://{LOOPBACK}:{remembered_port(state, 'alertmanager')}"
        route = {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
        hook = {"url": webhook, "send_resolved": True}
        hooks = {"route": route, "receivers": [{"name": "hook", "webhook_configs": [hook]}]}
        (state / "alertmanager.yml").write_text(config or json.dumps(hooks))

    def start(self) -> str:
        """Start the server and wait until it answers; return its URL."""
        self.process.start(
            [
                str(shutil.which("prometheus-alertmanager")),
                f"--config.file={self._state / 'alertmanager.yml'}",
                f"--storage.path={self._state / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--cluster.listen-address=",
            ]
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.process.require_running()
            try:
                self.alerts()
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
            else:
                return self.url
        raise RuntimeError("Alertmanager wasn't ready")

    def stop(self) -> None:
        """Stop the server."""
        self.process.stop(timeout=20)

    def alerts(self) -> list[dict[str, Any]]:
        """Return its current alerts."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=60) as answer:
            alerts: list[dict[str, Any]] = json.load(answer)
        return alerts

    def post(self, alerts: Sequence[Mapping[str, str]]) -> None:
        """Post firing alerts with these labels, as Prometheus does."""
        body = json.dumps([{"labels": dict(labels)} for labels in alerts]).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/v2/alerts", body, headers), timeout=60):
            return
