"""All folders of the host: finds them, gives each its turn, and removes those of dead processes after delivery.

A turn visits a limited number of folders, so it costs no more with ten thousand folders than with some hundred. A
folder whose process is dead and whose events are delivered is not visited any more. A user's directory is listed only
after it has changed.
"""

from __future__ import annotations

import logging
import resource
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Collection
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from stumble.outbox.folders import OutboxFolder, folders_of, other_users, remove_unfinished, user_directories
from stumble.relay.authority import Authority
from stumble.relay.cursors import Progress
from stumble.relay.folder_faults import FolderFaults
from stumble.relay.outbox_tail import OutboxTail
from stumble.runtime.state_log import StateLog
from stumble.wire.headers import relay_headers

LOG = logging.getLogger(__name__)

_DISCOVER_S = 0.2
_LIST_AGAIN_S = 30.0
#: A directory that changed this shortly before it was listed is listed again: the time of a file system is coarse.
_COARSE_S = 0.1
_RETRY_S = 60.0
_REMEMBER_S = 24 * 3600.0
_MOST_REMEMBERED = 20_000
_STALE_S = 3600.0
_MOST_VISITS = 200
_MOST_REMOVALS = 500
_MOST_FOLDERS = 5_000
#: Descriptors that the relay needs besides those of folders, and those of each folder (directory, segment).
_OTHER_FILES, _FILES_PER_FOLDER = 256, 2


class FolderListener(Protocol):
    """Receives reports of removed folders: the `Announcer`."""

    def report_ended(self, tail: OutboxTail) -> None: ...  # noqa: D102
    def report_forgotten(self, process: str, progress: Progress) -> None: ...  # noqa: D102


class _Listing(NamedTuple):
    """The folders of a user's directory, and when the directory had changed and was listed."""

    changed_ns: int
    listed_at: float
    is_settled: bool
    folders: dict[str, OutboxFolder]


class OutboxTails:
    """The existing folders of the served users, and the cursors of existing and removed folders."""

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        progress: dict[str, Progress],
        state_log: StateLog,
        faults: FolderFaults,
        listener: FolderListener,
    ) -> None:
        self._directory = str(directory)
        self._authority = authority
        self._progress = progress
        self._state_log = state_log
        self._faults = faults
        self._listener = listener
        self._listings: dict[str, _Listing] = {}
        self._tails: dict[str, OutboxTail] = {}
        self._rotation: deque[OutboxTail] = deque()
        self._busy: dict[str, OutboxTail] = {}
        self._drained: dict[str, OutboxTail] = {}
        self._moved: dict[str, OutboxTail] = {}
        self._open: OrderedDict[str, OutboxTail] = OrderedDict()
        self._most_open = _most_open_folders()
        self._discover_at = self._expire_at = 0.0
        self.unreported: set[str] = set()
        """Keys of folders that appeared or changed since the announcer cleared this set."""
        self.unshown: set[str] = set()
        """Keys of folders that appeared, changed or were removed since the metrics cleared this set."""

    @property
    def in_flight(self) -> int:
        """Bytes that were sent and are not acknowledged."""
        return sum(tail.in_flight for tail in self._busy.values())

    def all(self) -> Collection[OutboxTail]:
        """Return the folders that were discovered last."""
        return self._tails.values()

    def busy(self) -> list[OutboxTail]:
        """Return the folders with chunks that are not settled."""
        return list(self._busy.values())

    def find(self, key: str) -> OutboxTail | None:
        """Return the folder with a key, or None if it does not exist."""
        return self._tails.get(key)

    def open_deliveries(self) -> int:
        """Return the number of open deliveries."""
        return sum(tail.open_deliveries() for tail in self._busy.values())

    def due(self, now: float) -> list[OutboxTail]:
        """Return the folders whose turn it is; each must be passed to `visited` afterwards."""
        if now >= self._discover_at:
            self._discover_at = now + _DISCOVER_S
            self._discover(now)
        if now >= self._expire_at:
            self._expire_at = now + _RETRY_S
            self._expire()
        turn = [self._rotation.popleft() for _ in range(min(_MOST_VISITS, len(self._rotation)))]
        return [tail for tail in turn if self._tails.get(tail.folder.key) is tail]

    def visited(self, tail: OutboxTail) -> None:
        """Note the state of a folder after its turn, and close the files that it need not keep open."""
        key = tail.folder.key
        if tail.chunks:
            self._busy[key] = tail
        if tail.is_drained():
            self._drained[key] = tail
        else:
            self._rotation.append(tail)
        if not tail.alive:
            self._open.pop(key, None)
            tail.close()
            return
        self._open[key] = tail
        self._open.move_to_end(key)
        if len(self._open) > self._most_open:
            self._open.popitem(last=False)[1].close()

    def changed(self, tail: OutboxTail) -> None:
        """Note that a folder's process or its files changed."""
        self.unreported.add(tail.folder.key)
        self.unshown.add(tail.folder.key)

    def settled(self, tail: OutboxTail) -> None:
        """Note that a chunk of a folder was settled, or that the folder returned to its cursor."""
        self._moved[tail.folder.key] = tail
        self.unshown.add(tail.folder.key)
        if not tail.chunks:
            self._busy.pop(tail.folder.key, None)

    def has_removable(self, now: float) -> bool:
        """Return whether a folder can be removed."""
        return any(tail.is_removable(now) for tail in self._drained.values())

    def progress(self) -> dict[str, Progress]:
        """Return the progress of all folders, to be saved."""
        return self._progress

    def clean_up(self, now: float) -> None:
        """Unlink delivered segments and remove finished folders; the cursors must be synced before."""
        moved, self._moved = self._moved, {}
        for tail in moved.values():
            with self._faults.contained(tail.folder.key):
                self._unlink_delivered(tail)
        removable = (tail for tail in list(self._drained.values()) if tail.is_removable(now))
        for tail in islice(removable, _MOST_REMOVALS):
            with self._faults.contained(tail.folder.key):
                self._retire(tail, now)

    def _discover(self, now: float) -> None:
        """Compare the folders on disk with those that are served, if a directory has changed."""
        paths = user_directories(self._directory, self._authority.users)
        changed = [self._list(uid, path, now) for uid, path in paths]
        for path in self._listings.keys() - {path for _, path in paths}:
            del self._listings[path]
            changed.append(True)
        if not any(changed):
            return
        existing = {key: folder for listing in self._listings.values() for key, folder in listing.folders.items()}
        for tail in [tail for key, tail in self._tails.items() if key not in existing]:
            LOG.warning("Folder %s was removed by another program.", tail.folder.key)
            self._forget(tail)
        served = Counter(tail.folder.uid for tail in self._tails.values())
        waiting = 0
        for key, folder in existing.items():
            if key in self._tails:
                continue
            if served[folder.uid] >= _MOST_FOLDERS:
                waiting += 1
                continue
            served[folder.uid] += 1
            self._add(folder)
        if waiting:
            text = f"Folders wait, since the relay serves {_MOST_FOLDERS:,} of a user at a time"
            self._state_log.say("folders", f"{text}: find out which service creates so many.")
        else:
            self._state_log.over("folders", "The relay serves all folders again.")

    def _list(self, uid: int, path: str, now: float) -> bool:
        """List a user's directory, unless it has not changed; return whether it was listed."""
        try:
            changed_ns = Path(path).lstat().st_mtime_ns
            last = self._listings.get(path)
            if last and last.is_settled and last.changed_ns == changed_ns and now - last.listed_at < _LIST_AGAIN_S:
                return False
            is_settled = time.time() - changed_ns / 1e9 > _COARSE_S
            folders = {folder.key: folder for folder in folders_of(uid, path)}
        except PermissionError:
            advice = "add its user to the group, or run it as root"
            self._state_log.say(path, f"The relay cannot read {path}, so events wait there: {advice}.")
            return False
        except OSError as error:
            self._state_log.say(path, f"The relay does not serve {path}: {error.strerror or error}.")
            return False
        self._listings[path] = _Listing(changed_ns, now, is_settled, folders)
        self._state_log.over(path, f"The relay can read {path} again.")
        return True

    def _add(self, folder: OutboxFolder) -> None:
        progress = self._progress.setdefault(folder.key, Progress())
        progress.gone_at = 0.0
        headers = relay_headers(self._authority.host, is_bridge=folder.uid in self._authority.bridges)
        tail = self._tails[folder.key] = OutboxTail(folder, progress, headers)
        self._rotation.append(tail)
        self.changed(tail)

    def _unlink_delivered(self, tail: OutboxTail) -> None:
        key = tail.folder.key
        try:
            for name in tail.delivered_segments():
                with suppress(FileNotFoundError):
                    tail.files.unlink(name)
            self._state_log.over(_removal(tail), f"The relay can remove segments of {key} again.")
        except FileNotFoundError:  # the folder was removed by another program
            pass
        except OSError as error:
            self._moved[key] = tail  # for the next attempt
            text = f"Delivered segments of {key} cannot be removed ({error.strerror})"
            self._state_log.say(_removal(tail), f"{text}: give the relay's user write permission.")
        if not tail.alive:
            tail.close()

    def _retire(self, tail: OutboxTail, now: float) -> None:
        try:
            tail.files.remove()
        except OSError as error:
            tail.retry_removal(now + _RETRY_S)
            self._state_log.say(
                _removal(tail), f"The finished folder {tail.folder.key} cannot be removed ({error.strerror})."
            )
            tail.close()
            return
        LOG.info(
            "Removed folder %s: its process has ended and all %d events are delivered.",
            tail.folder.key,
            tail.progress.sent,
        )
        self._listener.report_ended(tail)
        self._forget(tail)

    def _forget(self, tail: OutboxTail) -> None:
        key = tail.folder.key
        tail.close()
        tail.progress.gone_at = time.time()
        self._faults.clear(key)
        self._state_log.over(_removal(tail), f"Folder {key} no longer exists.")
        for folders in (self._tails, self._busy, self._drained, self._moved, self._open):
            folders.pop(key, None)
        self.unshown.add(key)

    def _expire(self) -> None:
        """Remove old cursors and unfinished folders of dead processes; log the users that are not served."""
        now = time.time()
        gone = sorted((progress.gone_at, key) for key, progress in self._progress.items() if progress.gone_at)
        for number, (gone_at, key) in enumerate(gone):
            if now - gone_at > _REMEMBER_S or len(gone) - number > _MOST_REMEMBERED:
                self._listener.report_forgotten(key, self._progress.pop(key))
        for uid, path in user_directories(self._directory, self._authority.users):
            with self._faults.contained(f"uid-{uid}"), suppress(OSError):
                remove_unfinished(uid, path, now - _STALE_S)
        if others := other_users(self._directory, self._authority.users):
            names = ", ".join(f"uid-{uid}" for uid in others[:5]) + (" and more" if len(others) > 5 else "")
            text = f"The relay does not serve {names} in {self._directory}"
            self._state_log.say("users", f"{text}: add the user to `users` in [relay], or remove the directory.")
        else:
            self._state_log.over("users", "The relay serves all users of the outbox.")


def _removal(tail: OutboxTail) -> str:
    """Return the subject of the log about removing files."""
    return f"{tail.folder.key} removal"


def _most_open_folders() -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max((limit - _OTHER_FILES) // _FILES_PER_FOLDER, 16)
