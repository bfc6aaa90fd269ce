"""Users who ask the API without a pause, and what the store must hold of what they were answered."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.nova.pipeline import Pipeline
    from tests.nova.services.cloud import Services


class Load:
    """Locks and unlocks servers, each from a thread of its own: actions that nova-api does all by itself.

    Nova does nothing at all where a server is locked already.
    """

    def __init__(self, cloud: Services, servers: list[str]) -> None:
        self._cloud = cloud
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(server,)) for server in servers]
        self.answered: list[tuple[str, str]] = []
        """(request id, action) of each request that was answered with success."""
        self.refused: list[object] = []
        """What else was answered."""
        self.broken = 0
        """Requests without an answer."""

    def _ask(self, server: str) -> None:
        doubtful = False  # whether the server is locked: the request before had no answer
        while not self._over.is_set():
            for action in ("lock", "unlock"):
                try:
                    answer = self._cloud.call("POST", f"/servers/{server}/action", {action: None})
                except OSError:
                    self.broken += 1
                    doubtful = True
                    continue
                if answer.status != 202:
                    self.refused.append((answer.status, answer.body))
                elif not doubtful:
                    self.answered.append((answer.request_id, action))
                doubtful = False

    def wait(self, more: int) -> None:
        """Wait until so many more requests are answered."""
        wanted = len(self.answered) + more
        self._cloud.wait_for(lambda: len(self.answered) >= wanted, f"{more} more answers")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask for the duration."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()


def outcomes_of(cloud: Services, pipeline: Pipeline, requests: Iterable[str]) -> dict[str, list[str]]:
    """Return the outcomes that the store has for each request id, once none of them is open or unknown."""
    left, found = list(requests), dict[str, list[str]]()

    def all_known() -> bool:
        for request in list(left):
            outcomes = [item["outcome"] for item in pipeline.requests(request)]
            found[request] = outcomes
            if outcomes and "IN_PROGRESS" not in outcomes:
                left.remove(request)
        return not left

    with contextlib.suppress(AssertionError):  # what is missing is in what is returned
        cloud.wait_for(all_known, "the store", 90)
    return found
