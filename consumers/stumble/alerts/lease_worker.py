"""A thread that works while it holds a lease, with a connection of its own."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.alerts.lease import Lease, LeaseLostError
from stumble.runtime.state_log import StateLog
from stumble.runtime.worker import Worker, find_stuck_thread
from stumble.store.connect import StoreError, connect
from stumble.store.rights import describe_store_error
from stumble.store.version import require_current

if TYPE_CHECKING:
    from psycopg import Connection

_STANDBY_SECONDS = 1.0
#: A call that takes longer waits for the store or a receiver that is silent.
_SILENT_SECONDS = 20.0
#: After this time a restart may help, since new connections are opened.
_STUCK_SECONDS = 900.0


class LeaseWorker(Worker):
    """Calls `work` again and again while it holds the lease `name`: one at a time over all alerters."""

    longest_call_seconds = _STUCK_SECONDS
    #: Errors of its receivers, not of the store: it reports them and retries with the same connection and lease.
    receiver_errors: tuple[type[Exception], ...] = ()

    def __init__(self, name: str, url: str, stopping: threading.Event, lease_seconds: float) -> None:
        super().__init__(name, logging.getLogger(f"stumble.{name}"), stopping)
        self.lease = Lease(name, lease_seconds)
        self.state_log = StateLog(self.log)
        self._url = url
        self._connection: Connection[Any] | None = None
        self._is_active = False
        self._fault = ""

    @abstractmethod
    def begin(self, connection: Connection[Any]) -> None:
        """Prepare for `work`: the lease was just acquired."""

    @abstractmethod
    def work(self, connection: Connection[Any]) -> float:
        """Do one piece of work; return the seconds to wait before the next call."""

    def stand_by(self) -> None:
        """Reset what only the active worker may report: another one holds the lease."""

    def note_progress(self) -> None:
        """Set the worker's metric of progress; by default it has none."""

    def live(self) -> tuple[bool, str]:
        """Return whether the thread runs; a store or receiver that does not answer needs no restart."""
        if stuck := find_stuck_thread([self]):
            return False, stuck
        return True, self.ready()[1]

    def ready(self) -> tuple[bool, str]:
        """Return whether the store and the receivers answer."""
        if self._fault:
            return False, self._fault
        seconds = time.monotonic() - self.called_at
        if self.is_alive() and seconds > _SILENT_SECONDS:
            return False, f"The worker {self.name} has waited {seconds:.0f} s for the store or a receiver."
        return True, "active" if self._is_active else "standby"

    def run_once(self) -> float:
        """Acquire or renew the lease, then work."""
        if self._connection is None or self._connection.closed:
            require_current(self._url)
            self._connection = connect(self._url, application=f"stumble-{self.name}")
        if self.lease.held(self._connection):
            if not self._is_active:
                self.begin(self._connection)
                self._is_active = True
            pause = self.work(self._connection)
        else:
            self._deactivate()
            pause = _STANDBY_SECONDS
        self.note_progress()
        self._fault = ""
        self.state_log.over("fault", f"The worker {self.name} works again.")
        return pause

    def on_error(self, error: Exception) -> None:
        """Report an outage once; give up the lease and the connection, unless only a receiver is unavailable."""
        if isinstance(error, LeaseLostError):
            self.log.warning("%s", error)
            self.lease.lose()
            self._deactivate()
            return
        self._fault = describe_store_error(error, "alerter")
        self.state_log.say("fault", f"{self._fault} The worker {self.name} tries again; nothing is lost.")
        if isinstance(error, self.receiver_errors):
            return
        if not isinstance(error, (StoreError, psycopg.Error)):
            super().on_error(error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._deactivate()
        self.lease.lose()

    def close(self) -> None:
        """Release the lease, so that another worker continues immediately, and close the connection."""
        if self._connection is None or self._connection.closed:
            return
        try:
            if self._is_active:
                self.lease.leave(self._connection)
            self._connection.close()
        except psycopg.Error:
            self.log.warning("The store does not answer: the lease of %s expires by itself.", self.name)

    def _deactivate(self) -> None:
        if self._is_active:
            self._is_active = False
            self.stand_by()
