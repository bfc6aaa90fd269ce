"""Play restarts: prepare servers, put everything in flight, kill the host, start it again."""

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
    """One scenario under way."""

    restart: Restart
    server: str = ""
    order: str = ""
    """Name of the control file that holds it up."""
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
    with ThreadPoolExecutor(max(1, len(played))) as asking:  # some calls are answered when all is done
        for one in played:
            _begin(cloud, one, asking)
        cloud.kill(host)
        for one in played:
            if one.restart.guest is not None:
                _set_guest(cloud, host, one)
            for name in ("host1", "host2"):
                cloud.release(name, one.order)
        begun = time.time()
        cloud.restart(host)
    return played, begun


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


def _begin(cloud: Services, one: Played, asking: ThreadPoolExecutor) -> None:
    restart = one.restart
    where = restart.held_on or restart.killed
    order = one.order = f"{restart.held}-{one.server}" if one.server else restart.held
    cloud.order(where, order)
    if restart.action is None:
        one.server, answer = cloud.create(restart.on, name=restart.name)
        one.answer.set_result(answer)
    elif restart.action:
        one.answer = asking.submit(cloud.call, "POST", f"/servers/{one.server}/action", restart.action)
    else:
        one.answer = asking.submit(cloud.call, "DELETE", f"/servers/{one.server}")
    cloud.wait_reached(where, order)


def _set_guest(cloud: Services, host: str, one: Played) -> None:
    file = cloud.state / host / "guests.json"
    guests: dict[str, Any] = json.loads(file.read_text())
    guests[one.server][1] = one.restart.guest
    file.write_text(json.dumps(guests))
