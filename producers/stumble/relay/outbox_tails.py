"""All folders of the host: discovers them, and removes those of dead processes after delivery."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from stumble.outbox.folders import LOCK, outbox_folders, user_directories
from stumble.outbox.lock import is_held
from stumble.relay.cursors import Progress
from stumble.relay.outbox_tail import OutboxTail
from stumble.runtime.state_log import StateLog

LOG = logging.getLogger(__name__)

_DISCOVER_S = 0.2
_RETRY_S = 60.0
_REMEMBER_S = 24 * 3600.0
_STALE_S = 3600.0


class FolderListener(Protocol):
    """Receives reports of removed folders: the `Announcer`."""

    def report_ended(self, tail: OutboxTail) -> None: ...  # noqa: D102
    def report_forgotten(self, process: str, progress: Progress) -> None: ...  # noqa: D102


class OutboxTails:
    """The existing folders, and the cursors of existing and removed folders."""

    def __init__(
        self,
        directory: Path,
        progress: dict[str, Progress],
        state_log: StateLog,
        listener: FolderListener,
    ) -> None:
        self._directory = str(directory)
        self._progress = progress
        self._state_log = state_log
        self._listener = listener
        self._tails: dict[str, OutboxTail] = {}
        self._discover_at = self._expire_at = 0.0
        self._retry_removal_at: dict[str, float] = {}

    @property
    def in_flight(self) -> int:
        """Bytes that were sent and are not acknowledged."""
        return sum(tail.in_flight for tail in self._tails.values())

    def all(self) -> Iterator[OutboxTail]:
        """Iterate over the folders that were discovered last."""
        return iter(self._tails.values())

    def open_deliveries(self) -> int:
        """Return the number of open deliveries."""
        return sum(tail.open_deliveries() for tail in self._tails.values())

    def current(self, now: float) -> list[OutboxTail]:
        """Return all folders; discover new ones if the interval has passed."""
        if now >= self._discover_at:
            self._discover_at = now + _DISCOVER_S
            self._discover()
        if now >= self._expire_at:
            self._expire_at = now + _RETRY_S
            self._expire()
        return list(self._tails.values())

    def removable(self, now: float) -> list[OutboxTail]:
        """Return the folders that can be removed."""
        return [
            tail
            for key, tail in self._tails.items()
            if now >= self._retry_removal_at.get(key, 0.0) and tail.is_finished(now)
        ]

    def progress(self) -> dict[str, Progress]:
        """Return the progress of all folders, to be saved."""
        return self._progress

    def clean_up(self, now: float) -> None:
        """Unlink delivered segments and remove finished folders; the cursors must be synced before."""
        for tail in self._tails.values():
            for path in tail.delivered_segments():
                self._unlink(tail, path)
        for tail in self.removable(now):
            self._retire(tail, now)

    def _discover(self) -> None:
        for _, path in user_directories(self._directory):
            if os.access(path, os.R_OK | os.W_OK | os.X_OK):
                self._state_log.over(path, f"The relay can read {path} again.")
            else:
                text = (
                    f"The relay cannot read {path}, so events wait there: add its user to the group, or run it as root."
                )
                self._state_log.say(path, text)
        result = {folder.key: folder for folder in outbox_folders(self._directory)}
        for key, folder in result.items():
            if key not in self._tails:
                progress = self._progress.setdefault(key, Progress())
                progress.gone_at = 0.0
                self._tails[key] = OutboxTail(folder, progress)
        for key in self._tails.keys() - result.keys():
            LOG.warning("Folder %s was removed by another program.", key)
            self._forget(self._tails[key])

    def _unlink(self, tail: OutboxTail, path: str) -> None:
        try:
            os.unlink(path)  # noqa: PTH108
        except FileNotFoundError:
            pass
        except OSError as error:
            text = f"Delivered segments of {tail.folder.key} cannot be removed ({error.strerror})"
            self._state_log.say(_removal(tail), f"{text}: give the relay's user write permission.")
        else:
            self._state_log.over(_removal(tail), f"The relay can remove segments of {tail.folder.key} again.")

    def _retire(self, tail: OutboxTail, now: float) -> None:
        try:
            tail.remove()
        except OSError as error:
            self._retry_removal_at[tail.folder.key] = now + _RETRY_S
            self._state_log.say(
                _removal(tail), f"The finished folder {tail.folder.key} cannot be removed ({error.strerror})."
            )
            return
        LOG.info(
            "Removed folder %s: its process has ended and all %d events are delivered.",
            tail.folder.key,
            tail.progress.sent,
        )
        self._listener.report_ended(tail)
        self._forget(tail)

    def _forget(self, tail: OutboxTail) -> None:
        tail.reader.close()
        tail.progress.gone_at = time.time()
        for subject in (tail.folder.key, _removal(tail)):
            self._state_log.over(subject, f"Folder {tail.folder.key} no longer exists.")
        self._tails.pop(tail.folder.key, None)
        self._retry_removal_at.pop(tail.folder.key, None)

    def _expire(self) -> None:
        """Remove old cursors, and unfinished folders whose process died while it created them."""
        now = time.time()
        for key, progress in list(self._progress.items()):
            if progress.gone_at and now - progress.gone_at > _REMEMBER_S:
                self._listener.report_forgotten(key, self._progress.pop(key))
        for _, path in user_directories(self._directory):
            for hidden in Path(path).glob(".new-*"):
                with suppress(OSError):
                    if now - hidden.stat().st_mtime > _STALE_S and not is_held(str(hidden / LOCK)):
                        shutil.rmtree(hidden)


def _removal(tail: OutboxTail) -> str:
    """Return the subject of the log about removing files; delivery has the folder's key."""
    return f"{tail.folder.key} removal"
