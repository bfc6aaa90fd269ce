"""All folders of the host: found, followed, and taken away when their process is dead and all of it delivered."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from stumble.outbox.folders import LOCK, places, user_directories
from stumble.outbox.lock import is_held
from stumble.relay.cursors import Progress
from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.state_log import RelayStateLog

LOG = structlog.get_logger("stumble.relay")

_LOOK_S = 0.2
_TRY_AGAIN_S = 60.0
_REMEMBER_S = 24 * 3600.0
_STALE_S = 3600.0


class OutboxTails:
    """The folders that there are and the cursors of those that were."""

    def __init__(
        self,
        directory: Path,
        progress: dict[str, Progress],
        troubles: RelayStateLog,
        on_gone: Callable[[OutboxTail], None],
        on_forgotten: Callable[[str, Progress], None],
    ) -> None:
        self._directory = str(directory)
        self._progress = progress
        self._troubles = troubles
        self._on_gone = on_gone
        self._on_forgotten = on_forgotten
        self._feeds: dict[str, OutboxTail] = {}
        self._look_at = self._tidy_at = 0.0
        self._stubborn: dict[str, float] = {}

    @property
    def in_flight(self) -> int:
        """Bytes on their way."""
        return sum(feed.in_flight for feed in self._feeds.values())

    def all(self) -> Iterator[OutboxTail]:
        """Iterate over the folders of the last look."""
        return iter(self._feeds.values())

    def on_their_way(self) -> int:
        """Return how many deliveries are open."""
        return sum(feed.on_their_way() for feed in self._feeds.values())

    def current(self, now: float) -> list[OutboxTail]:
        """Return all folders, looking for new ones now and then."""
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._look()
        if now >= self._tidy_at:
            self._tidy_at = now + _TRY_AGAIN_S
            self._tidy()
        return list(self._feeds.values())

    def finished(self, now: float) -> list[OutboxTail]:
        """Return the folders that can be taken away."""
        return [
            feed for key, feed in self._feeds.items() if now >= self._stubborn.get(key, 0.0) and feed.is_finished(now)
        ]

    def progress(self) -> dict[str, Progress]:
        """Return what is to be saved."""
        return self._progress

    def clean_up(self, now: float) -> None:
        """Unlink delivered segments and take finished folders away; the cursors are synced."""
        for feed in self._feeds.values():
            for path in feed.delivered_segments():
                self._unlink(feed, path)
        for feed in self.finished(now):
            self._retire(feed, now)

    def _look(self) -> None:
        for _, path in user_directories(self._directory):
            if os.access(path, os.R_OK | os.W_OK | os.X_OK):
                self._troubles.end(path)
            else:
                self._troubles.begin(path, "the relay may not look into it: let its user in, by group or as root")
        found = {place.key: place for place in places(self._directory)}
        for key, place in found.items():
            if key not in self._feeds:
                progress = self._progress.setdefault(key, Progress())
                progress.gone_at = 0.0
                self._feeds[key] = OutboxTail(place, progress)
        for key in self._feeds.keys() - found.keys():
            LOG.warning("folder was taken away by somebody", folder=key)
            self._forget(self._feeds[key])

    def _unlink(self, feed: OutboxTail, path: str) -> None:
        try:
            os.unlink(path)  # noqa: PTH108
        except FileNotFoundError:
            pass
        except OSError as error:
            text = f"delivered segments can't be removed ({error.strerror}): let the relay's user write there"
            self._troubles.begin(feed.place.key, text)

    def _retire(self, feed: OutboxTail, now: float) -> None:
        try:
            feed.remove()
        except OSError as error:
            self._stubborn[feed.place.key] = now + _TRY_AGAIN_S
            self._troubles.begin(feed.place.key, f"the finished folder can't be removed ({error.strerror})")
            return
        LOG.info("process is gone, all of it is delivered", folder=feed.place.key, sent=feed.progress.sent)
        self._on_gone(feed)
        self._forget(feed)

    def _forget(self, feed: OutboxTail) -> None:
        feed.reader.close()
        feed.progress.gone_at = time.time()
        self._troubles.end(feed.place.key)
        self._feeds.pop(feed.place.key, None)
        self._stubborn.pop(feed.place.key, None)

    def _tidy(self) -> None:
        """Forget old cursors, and take away folders whose makers died before they had a name."""
        now = time.time()
        for key, progress in list(self._progress.items()):
            if progress.gone_at and now - progress.gone_at > _REMEMBER_S:
                self._on_forgotten(key, self._progress.pop(key))
        for _, path in user_directories(self._directory):
            for hidden in Path(path).glob(".new-*"):
                with suppress(OSError):
                    if now - hidden.stat().st_mtime > _STALE_S and not is_held(str(hidden / LOCK)):
                        shutil.rmtree(hidden)
