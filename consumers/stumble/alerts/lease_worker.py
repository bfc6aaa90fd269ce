"""A thread that works under a lease with a connection of its own, and waits for a store that is away."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.alerts.lease import Lease, LeaseLostError
from stumble.runtime.state_log import StateLog
from stumble.store.connect import StoreError, connect
from stumble.store.version import require_current

if TYPE_CHECKING:
    from psycopg import Connection

_STANDBY = 1.0
_LONGEST_BACKOFF = 5.0
_STUCK_AFTER = 120.0


class LeaseWorker(threading.Thread, ABC):
    """Calls `work` again and again while it holds the lease, until `stop` is set; one at a time over all alerters."""

    def __init__(self, name: str, url: str, stop: threading.Event, lease_seconds: float) -> None:
        super().__init__(name=name, daemon=True)
        self.lease = Lease(name, lease_seconds)
        self.log = logging.getLogger(f"stumble.{name}")
        self.notices = StateLog(self.log)
        self._url = url
        self._stop_asked = stop
        self._connection: Connection[Any] | None = None
        self._begun = False
        self.progressed = time.monotonic()

    @abstractmethod
    def begin(self, connection: Connection[Any]) -> None:
        """Take up the work: the lease has just come to us."""

    @abstractmethod
    def work(self, connection: Connection[Any]) -> float:
        """Do a little; return the seconds to wait before the next time."""

    def stand_by(self) -> None:
        """Another one works now: take back what only the one who works may say."""

    def live(self) -> tuple[bool, str]:
        """Tell whether the thread lives and turns; what is wrong outside is no reason to be restarted."""
        if self.notices:
            return True, self.notices.current()[0]
        still = time.monotonic() - self.progressed
        if self.ident is not None and (not self.is_alive() or still > _STUCK_AFTER):
            return False, f"{self.name} stand still for {still:.0f} s"
        return True, f"{self.name} turn"

    @abstractmethod
    def close(self) -> None:
        """Let go of everything but the store."""

    def run(self) -> None:
        """Work until told to stop."""
        failures = 0
        while not self._stop_asked.is_set():
            try:
                pause = self._turn()
                failures = 0
                self.notices.over("trouble", "The store answers again.")
            except LeaseLostError:
                self.lease.lose()
                self._rest()
                pause = 0.0
            except (StoreError, psycopg.Error) as error:
                failures += 1
                pause = min(_LONGEST_BACKOFF, 0.2 * 2 ** min(failures, 6))
                self._away(error)
            except Exception as error:
                # A thread that is gone would be missed by nobody: say it with all there is, and try again.
                pause = _LONGEST_BACKOFF
                self.log.exception("An error that should not be; %s wait and try again.", self.name)
                self._away(error)
            self._stop_asked.wait(pause)
        self._leave()

    def _turn(self) -> float:
        if self._connection is None or self._connection.closed:
            require_current(self._url)
            self._connection = connect(self._url, application=f"stumble-{self.name}")
        if not self.lease.held(self._connection):
            self._rest()
            self.progressed = time.monotonic()
            return _STANDBY
        if not self._begun:
            self.begin(self._connection)
            self._begun = True
        pause = self.work(self._connection)
        self.progressed = time.monotonic()
        return pause

    def _rest(self) -> None:
        if self._begun:
            self._begun = False
            self.stand_by()

    def _away(self, error: Exception) -> None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        self.notices.say("trouble", f"{lines[0]} {self.name.capitalize()} wait, nothing is lost.")
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._rest()
        self.lease.lose()

    def _leave(self) -> None:
        self.close()
        if self._connection is None or self._connection.closed:
            return
        try:
            if self._begun:
                self.lease.leave(self._connection)
            self._connection.close()
        except psycopg.Error:
            self.log.warning("The store is away: the lease of %s ends by itself.", self.name)
