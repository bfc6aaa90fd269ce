"""A Prometheus of Debian's package, in a folder and on a port of its own."""

from __future__ import annotations

import json
import shutil
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess


def require_prometheus() -> None:
    """Skip the test where Prometheus isn't installed."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus isn't installed: apt-get install prometheus")


class LocalPrometheus:
    """One server that scrapes `targets` (host:port) every `seconds`, with `rules` (a file)."""

    def __init__(self, state: Path, targets: Sequence[str], *, rules: Path | None = None, seconds: int = 1) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.process = ChildProcess("prometheus", state, death_signal=signal.SIGTERM)
        self._state = state
        self.url = f"http://{LOOPBACK}:{remembered_port(state, 'prometheus')}"
        config = {
            "global": {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"},
            "rule_files": [str(rules)] if rules else [],
            "scrape_configs": [{"job_name": "stumble", "static_configs": [{"targets": list(targets)}]}],
        }
        (state / "prometheus.yml").write_text(json.dumps(config))

    def start(self) -> str:
        """Start the server and wait until it answers; return its URL."""
        listen = self.url.removeprefix("http://")
        self.process.start(
            [
                str(shutil.which("prometheus")),
                f"--config.file={self._state / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._state / 'data'}",
                f"--web.listen-address={listen}",
            ]
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.process.require_running()
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=20):
                    return self.url
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        raise RuntimeError("Prometheus wasn't ready")

    def stop(self) -> None:
        """Stop the server."""
        self.process.stop(timeout=20)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query; raises RuntimeError with the error message of Prometheus."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                series: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{expression}: {error.read().decode()}") from error
        return series

    def firing(self) -> set[str]:
        """Return the names of the firing alerts."""
        with urllib.request.urlopen(f"{self.url}/api/v1/alerts", timeout=60) as answer:
            alerts = json.load(answer)["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
