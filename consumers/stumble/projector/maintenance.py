"""What the store needs now and then: partitions ahead of time, and what is too old taken out."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import psycopg

from stumble.store.connect import StoreError, StoreUnavailableError, connect
from stumble.store.partitions import EventPartitions
from stumble.store.retention import expire
from stumble.store.version import require_current

if TYPE_CHECKING:
    from stumble.deadletters.producer import DeadLetterCount
    from stumble.projector.health import ProjectorHealth
    from stumble.projector.settings import ProjectorSettings
    from stumble.runtime.state_log import StateLog

LOG = logging.getLogger("stumble.projector")
_EVERY = 300.0
_COUNT_EVERY = 15.0
_WAIT = 1.0


class Maintenance(threading.Thread):
    """Looks after the store every five minutes, in a session of its own; counts dead letters in between."""

    def __init__(
        self, url: str, settings: ProjectorSettings, application: str, depth: DeadLetterCount, health: ProjectorHealth
    ) -> None:
        super().__init__(name="upkeep", daemon=True)
        self._url = url
        self._settings = settings
        self._application = application
        self._depth = depth
        self._health = health
        self._partitions = EventPartitions(settings.events_days)
        self._ending = threading.Event()

    def prepare(self, stop: threading.Event, notices: StateLog, health: ProjectorHealth) -> bool:
        """Wait until the store is there and has this version; False when told to stop before."""
        while True:
            try:
                require_current(self._url)
                with connect(self._url, application=self._application) as connection:
                    self._partitions.make_ahead(connection)
            except (StoreError, psycopg.Error) as error:
                health.store_down(str(error))
                notices.say("store", str(error))
                if stop.wait(_WAIT):
                    return False
            else:
                notices.over("store", "The store is there.")
                health.store_up()
                return True

    def run(self) -> None:
        """Look after the store until ended."""
        due = time.monotonic() + _EVERY
        self._count()
        while not self._ending.wait(_COUNT_EVERY):
            self._count()
            if time.monotonic() >= due:
                due += _EVERY
                self._look_after()

    def _count(self) -> None:
        self._health.dead_letters(self._depth.records())

    def _look_after(self) -> None:
        try:
            with connect(self._url, application=self._application) as connection:
                self._partitions.make_ahead(connection)
                expire(connection, self._partitions, self._settings.retention())
        except StoreUnavailableError:
            return  # the writer tells
        except psycopg.Error as error:
            LOG.warning("The store's upkeep failed and is tried again later: %s", error)

    def end(self) -> None:
        """End the thread."""
        self._ending.set()
