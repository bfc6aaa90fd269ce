"""Play restarts: prepare servers, start all requests, kill the host, start it again."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.nova.services.cloud import Answer, Services
    from tests.nova.services.table import Restart

RESTING = ("active", "stopped", "paused", "resized", "suspended", "error", "shelved", "shelved_offloaded")


@dataclass
class Played:
    """One scenario in progress."""

    restart: Restart
    server: str = ""
    control_file: str = ""
    """Name of the control file that blocks it."""
    answer: Future[Answer] = field(default_factory=Future)
    prepared: tuple[str, ...] = ()
    """Request ids of the preparation."""

    @property
    def request_id(self) -> str:
        """Id of the request that was interrupted."""
        return self.answer.result().request_id


def play(cloud: Services, restarts: Iterable[Restart], host: str) -> tuple[list[Played], float]:
    """Kill `host` in the middle of all `restarts`; return them and the time at which it was started again."""
    played = [Played(one) for one in restarts]
    _prepare(cloud, played)
    with ThreadPoolExecutor(max(1, len(played))) as executor:  # some calls are answered only at the end of the action
        for one in played:
            _begin(cloud, one, executor)
        cloud.kill(host)
        for one in played:
            if one.restart.guest is not None:
                _set_guest(cloud, host, one)
            for name in ("host1", "host2"):
                cloud.clear_control(name, one.control_file)
        started = time.time()
        cloud.restart(host)
    return played, started


def _prepare(cloud: Services, played: list[Played]) -> None:
    for one in played:
        if one.restart.action is not None:
            one.server, answer = cloud.create(one.restart.on, name=one.restart.name)
            one.prepared = (answer.request_id,)
    for one in played:
        if one.server:
            cloud.wait_state(one.server, "active")
            for body in one.restart.before:
                one.prepared += (cloud.act(one.server, body).request_id,)
                cloud.wait_state(one.server, *RESTING)


def _begin(cloud: Services, one: Played, executor: ThreadPoolExecutor) -> None:
    restart = one.restart
    where = restart.held_on or restart.killed
    control_file = one.control_file = f"{restart.held}-{one.server}" if one.server else restart.held
    cloud.set_control(where, control_file)
    if restart.action is None:
        one.server, answer = cloud.create(restart.on, name=restart.name)
        one.answer.set_result(answer)
    elif restart.action:
        one.answer = executor.submit(cloud.call, "POST", f"/servers/{one.server}/action", restart.action)
    else:
        one.answer = executor.submit(cloud.call, "DELETE", f"/servers/{one.server}")
    cloud.wait_reached(where, control_file)


def _set_guest(cloud: Services, host: str, one: Played) -> None:
    file = cloud.state / host / "guests.json"
    guests: dict[str, Any] = json.loads(file.read_text())
    guests[one.server][1] = one.restart.guest
    file.write_text(json.dumps(guests))
