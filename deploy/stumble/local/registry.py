"""Apicurio Registry with Confluent's API, in memory, on a loopback port of its own; Java comes from a wheel."""

from __future__ import annotations

import shutil
import signal
import tarfile
import time
from pathlib import Path

import httpx

from stumble.local.errors import LocalError
from stumble.local.jars import Progress, ensure_jars
from stumble.local.kafka import java_runtime
from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess

__all__ = ["LocalRegistry"]

_LOCK = Path(__file__).with_name("registry.lock")
_CONFLUENT_API = "/apis/ccompat/v7"
_MAIN = "io.quarkus.runner.GeneratedMain"


class LocalRegistry:
    """A schema registry under `state`; :meth:`start` and :meth:`stop`. It loses its schemas when it stops."""

    def __init__(self, state: Path, *, heap: str = "256m") -> None:
        self._state = state
        self._heap = heap
        self.process = ChildProcess("registry", state, death_signal=signal.SIGTERM)
        self.url = ""

    def start(self, *, progress: Progress | None = None, timeout: float = 90.0) -> str:
        """Fetch what's missing, start the registry and wait until it serves; return the URL of its Confluent API.

        Raises LocalError if it isn't ready in `timeout` seconds.
        """
        self._state.mkdir(parents=True, exist_ok=True)
        self.process.end_leftover()
        folder = self._unpacked(progress)
        port = remembered_port(self._state, "registry")
        options = [f"-Xmx{self._heap}", "-XX:+UseSerialGC", f"-Dquarkus.http.host={LOOPBACK}"]
        options += [f"-Dquarkus.http.port={port}", "-Dquarkus.log.level=WARN"]
        runner = next(folder.glob("*-runner.jar"))
        self.process.start([java_runtime(), *options, "-cp", f"{runner}:{folder}/lib/*", _MAIN])
        self.url = f"http://{LOOPBACK}:{port}{_CONFLUENT_API}"
        self._wait(timeout)
        return self.url

    def stop(self) -> None:
        """Stop the registry."""
        self.process.stop(timeout=10)

    def _unpacked(self, progress: Progress | None) -> Path:
        archive = ensure_jars(progress, _LOCK)[0]
        folder = self._state / "registry"
        # Only the archive is compared with the lock, so nothing runs that was unpacked at another time.
        if folder.exists():
            shutil.rmtree(folder)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        return folder

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.process.require_running()
            try:
                if httpx.get(f"{self.url}/subjects", timeout=2).is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise LocalError(f"The schema registry was not ready within {timeout:.0f} s, see {self.process.log}")
