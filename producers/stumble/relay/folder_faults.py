"""Logs why folders wait: one line per fault, however many folders have it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from stumble.runtime.state_log import StateLog


class FolderFaults:
    """The folders that wait, by the text of their fault."""

    def __init__(self, state_log: StateLog) -> None:
        self._state_log = state_log
        self._fault_of: dict[str, str] = {}
        self._folders: defaultdict[str, set[str]] = defaultdict(set)

    def report(self, folder: str, fault: object) -> None:
        """Note that a folder waits; log it if no other folder waits for the same reason."""
        text, file = _text_of(fault)
        if self._fault_of.get(folder) == text:
            return
        self.clear(folder)
        self._fault_of[folder] = text
        self._folders[text].add(folder)
        if len(self._folders[text]) == 1:
            rest = "Other folders with this fault get no line of their own."
            self._state_log.say(text, f"Folder {folder} waits: {text}{file}. {rest}")

    def clear(self, folder: str) -> None:
        """Note that a folder waits no longer; log it if no folder waits for that reason any more."""
        text = self._fault_of.pop(folder, None)
        if text is None:
            return
        folders = self._folders[text]
        folders.discard(folder)
        if not folders:
            del self._folders[text]
            self._state_log.over(text, f"No folder waits any more for the reason: {text}.")

    @contextmanager
    def contained(self, folder: str) -> Iterator[None]:
        """Report an exception of the block as a fault of the folder: none of its contents may end the relay."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # a folder may contain anything
            self.report(folder, error)


def _text_of(fault: object) -> tuple[str, str]:
    """Return the text of a fault, without the name of a file, and the file in parentheses."""
    if isinstance(fault, OSError) and fault.strerror:
        file = f" ({fault.filename})" if fault.filename else ""
        return str(fault.strerror).rstrip("."), file
    return (str(fault) or type(fault).__name__).rstrip("."), ""
