"""Maintenance of the store: partitions are created ahead of time, and what is older than its retention is deleted."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import psycopg

from stumble.runtime.timers import Timers
from stumble.runtime.worker import Worker
from stumble.store.connect import StoreError, StoreUnavailableError, connect
from stumble.store.partitions import EventPartitions
from stumble.store.retention import delete_expired
from stumble.store.rights import describe_store_error
from stumble.store.version import require_current

if TYPE_CHECKING:
    from stumble.deadletters.producer import DeadLetterCount
    from stumble.projector.bridged_hosts import BridgedHosts
    from stumble.projector.health import ProjectorHealth
    from stumble.projector.settings import ProjectorSettings
    from stumble.projector.topic_retention import TopicRetention
    from stumble.runtime.state_log import StateLog

LOG = logging.getLogger("stumble.projector")
_MAINTENANCE_SECONDS = 300.0
_COUNT_SECONDS = 15.0
_WAIT_SECONDS = 1.0


class Maintenance(Worker):
    """Maintains the store every five minutes, in a session of its own, and counts dead letters every 15 seconds."""

    #: Deleting what is older than its retention may take long in a large store.
    longest_call_seconds = 3600.0

    def __init__(
        self,
        url: str,
        settings: ProjectorSettings,
        application: str,
        dead_letter_count: DeadLetterCount,
        health: ProjectorHealth,
        state_log: StateLog,
        bridged_hosts: BridgedHosts,
        topic_retention: TopicRetention,
    ) -> None:
        super().__init__("maintenance", LOG)
        self._url = url
        self._settings = settings
        self._application = application
        self._dead_letter_count = dead_letter_count
        self._health = health
        self._state_log = state_log
        self._bridged_hosts = bridged_hosts
        self._topic_retention = topic_retention
        self._partitions = EventPartitions(settings.events_days)
        self._timers = Timers()
        self._timers.put_off("maintain", _MAINTENANCE_SECONDS)

    def wait_for_store(self, stop: threading.Event) -> bool:
        """Wait until the store answers and has this program's version; False if `stop` is set before."""
        while True:
            try:
                require_current(self._url)
                with connect(self._url, application=self._application) as connection:
                    self._partitions.make_ahead(connection)
            except (StoreError, psycopg.Error) as error:
                text = describe_store_error(error, "projector")
                self._health.store_down(text)
                self._state_log.say("store", text)
                if stop.wait(_WAIT_SECONDS):
                    return False
            else:
                self._state_log.over("store", "The store answers; reading starts.")
                self._health.store_up()
                return True

    def run_once(self) -> float:
        """Count dead letters and save bridged hosts; maintain the store if it is due."""
        self._health.dead_letters(self._dead_letter_count.records())
        self._save_hosts()
        if self._timers.due("retention", _MAINTENANCE_SECONDS):
            self._health.topic_retention(self._topic_retention.seconds())
        if self._timers.due("maintain", _MAINTENANCE_SECONDS):
            self._maintain()
        return _COUNT_SECONDS

    def _save_hosts(self) -> None:
        if not self._bridged_hosts.has_unsaved:
            return
        try:
            with connect(self._url, application=self._application) as connection:
                self._bridged_hosts.save(connection)
        except StoreUnavailableError:
            return  # the writer logs this
        except psycopg.Error as error:
            LOG.warning(
                "The hosts that bridges report for cannot be stored: %s", describe_store_error(error, "projector")
            )

    def _maintain(self) -> None:
        try:
            with connect(self._url, application=self._application) as connection:
                self._partitions.make_ahead(connection)
                delete_expired(connection, self._partitions, self._settings.retention())
        except StoreUnavailableError:
            return  # the writer logs this
        except psycopg.Error as error:
            LOG.warning(
                "Maintenance of the store failed and is tried again in five minutes: %s",
                describe_store_error(error, "projector"),
            )
