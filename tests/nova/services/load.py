"""Users who send API requests without a pause, and the stored outcomes of their answered requests."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.nova.pipeline import Pipeline
    from tests.nova.services.cloud import Services


class Load:
    """Locks and unlocks servers, each from its own thread: actions that nova-api completes without other services.

    Nova does nothing if a server is locked already.
    """

    def __init__(self, cloud: Services, servers: list[str]) -> None:
        self._cloud = cloud
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send_requests, args=(server,)) for server in servers]
        self.answered: list[tuple[str, str]] = []
        """(request id, action) of each successful request."""
        self.other_answers: list[object] = []
        """(status, body) of all other answers."""
        self.unanswered = 0
        """Requests without an answer."""

    def _send_requests(self, server: str) -> None:
        lock_unknown = False  # the previous request had no answer
        while not self._stop.is_set():
            for action in ("lock", "unlock"):
                try:
                    answer = self._cloud.call("POST", f"/servers/{server}/action", {action: None})
                except OSError:
                    self.unanswered += 1
                    lock_unknown = True
                    continue
                if answer.status != 202:
                    self.other_answers.append((answer.status, answer.body))
                elif not lock_unknown:
                    self.answered.append((answer.request_id, action))
                lock_unknown = False

    def wait(self, more: int) -> None:
        """Wait until `more` requests are answered."""
        expected = len(self.answered) + more
        self._cloud.wait_for(lambda: len(self.answered) >= expected, f"{more} more answers")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send requests inside the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


def outcomes_of(cloud: Services, pipeline: Pipeline, requests: Iterable[str]) -> dict[str, list[str]]:
    """Return the stored outcomes of each request id, as soon as none of them is open or unknown."""
    remaining, outcomes_by_request = list(requests), dict[str, list[str]]()

    def all_known() -> bool:
        for request in list(remaining):
            outcomes = [item["outcome"] for item in pipeline.requests(request)]
            outcomes_by_request[request] = outcomes
            if outcomes and "IN_PROGRESS" not in outcomes:
                remaining.remove(request)
        return not remaining

    with contextlib.suppress(AssertionError):  # the result shows what is missing
        cloud.wait_for(all_known, "the store", 90)
    return outcomes_by_request
