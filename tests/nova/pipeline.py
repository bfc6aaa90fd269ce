"""stumble's consumers: relay, projector and API as processes, on an existing Kafka and PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stumble.local.errors import LocalError
from stumble.local.ports import LOOPBACK, free_port
from stumble.local.process import ChildProcess, read_log_tail

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
ROOTS = os.pathsep.join(str(ROOT / name) for name in ("schemas", "producers", "consumers", "deploy"))
ROLES = ("projector", "api", "relay")


class Pipeline:
    """Outbox → relay → Kafka → projector → PostgreSQL → API. A context manager; state and logs are in `state`."""

    def __init__(
        self,
        state: Path,
        *,
        bootstrap_servers: str,
        database_url: str,
        topic_prefix: str = "",
        roles: tuple[str, ...] = ROLES,
    ) -> None:
        self.state = state
        self._roles = roles
        self.outbox = state / "outbox"
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self._children: list[ChildProcess] = []
        self.environment = {
            "PYTHONPATH": ROOTS,
            "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "STUMBLE_KAFKA__TOPIC_PREFIX": topic_prefix,
            "STUMBLE_PROJECTOR_GROUP": f"{topic_prefix}projector",
            "STUMBLE_DATABASE_URL": database_url,
            "STUMBLE_OUTBOX_DIR": str(self.outbox),
            "STUMBLE_RELAY_HOSTS": "*",  # one process runs the services of several hosts
            "STUMBLE_STATE_DIR": str(state),
            "STUMBLE_API_PORT": self.url.rpartition(":")[2],
            "STUMBLE_API_URL": self.url,
        }

    def __enter__(self) -> Self:
        self.outbox.mkdir(parents=True, exist_ok=True)
        try:
            for command in (("store", "migrate"), ("topics", "apply")):
                self._run_once(*command)
            for role in self._roles:
                child = ChildProcess(role, self.state)
                self._children.append(child)
                child.start([sys.executable, "-m", "stumble.cli", role], env=self.environment)
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        for child in reversed(self._children):
            child.stop()

    def requests(self, request_id: str, *, wait: float = 0) -> list[dict[str, Any]]:
        """Return the items of `/v1/requests/{id}`; an unknown id has none."""
        path = f"/v1/requests/{request_id}" + (f"?wait={wait:g}" if wait else "")
        try:
            return list(self.get(path)["items"])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise

    def get(self, path: str) -> Mapping[str, Any]:
        """Return the API's answer, decoded."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            body: Mapping[str, Any] = json.load(answer)
        return body

    def require_running(self) -> None:
        """Raise LocalError when a role has ended."""
        for child in self._children:
            child.require_running()

    def _run_once(self, *command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "stumble.cli", *command],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LocalError(f"stumble {' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-2000:]}")

    def _wait_ready(self, timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while True:
            self.require_running()
            try:
                self.get("/readyz")
            except (OSError, json.JSONDecodeError) as error:
                if time.monotonic() > deadline:
                    log = read_log_tail(self.state / "logs" / "api.log")
                    raise LocalError(f"the API wasn't ready in {timeout:.0f} s ({error}): {log}") from None
                time.sleep(0.1)
            else:
                return
