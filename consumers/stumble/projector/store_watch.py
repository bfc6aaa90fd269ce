"""Saves the states of the partitions for other programs, and looks what the projector's sessions wait for.

A commit that waits for a synchronous standby raises no error: only another session shows it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.projector.partition_state import PartitionState, describe_status
from stumble.runtime.timers import Timers
from stumble.runtime.worker import Worker
from stumble.store.connect import StoreError
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg import Connection

    from stumble.projector.health import ProjectorHealth, ReportedState

_INTERVAL_SECONDS = 2.0
#: Longer waits are reported, seconds.
_WAIT_SECONDS = 5.0
#: The rows are saved again after this many seconds without a change, so that readers see that the projector runs.
_SAVE_SECONDS = 4.0
_STANDBY = (
    "commits wait for a synchronous standby (start it, or change synchronous_standby_names of the database server)"
)


class StoreWatch(Worker):
    """Works in a session of its own, whose commits wait for no standby."""

    def __init__(
        self,
        open_store: Callable[[], Connection[Any]],
        topic: str,
        health: ProjectorHealth,
        log: logging.Logger,
    ) -> None:
        super().__init__("store watch", log)
        self._open_store = open_store
        self._topic = topic
        self._health = health
        self._connection: Connection[Any] | None = None
        #: The saved states, and whether Kafka answered then.
        self._saved: tuple[Mapping[int, ReportedState], bool] = ({}, True)
        self._timers = Timers()

    def run_once(self) -> float:
        """Look at the sessions, and save the states if they changed."""
        with self._health.store_call():
            connection = self._session()
            self._health.store_works(self._waits(connection))
            self._save(connection)
        return _INTERVAL_SECONDS

    def on_error(self, error: Exception) -> None:
        """Continue with a new session; the writer reports an outage of the store."""
        if not isinstance(error, (StoreError, psycopg.Error)):
            super().on_error(error)
        self.close()

    def close(self) -> None:
        """Close the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _waits(self, connection: Connection[Any]) -> str | None:
        parameters = {"seconds": _WAIT_SECONDS}
        row = connection.execute(query("count_standby_waits"), parameters).fetchone()
        return _STANDBY if row is not None and row[0] else None

    def _save(self, connection: Connection[Any]) -> None:
        states: Mapping[int, ReportedState] = self._health.states()
        kafka = self._health.kafka_fault()
        if not states and kafka is not None:  # the group took the partitions away, and can give them to nobody
            states = self._saved[0]
        if not states or ((states, kafka is None) == self._saved and not self._timers.past("save")):
            return
        numbers = sorted(states)
        reported = [_as_reported(states[number], kafka) for number in numbers]
        parameters = {
            "topic": self._topic,
            "partitions": numbers,
            "states": [state.value for state, _ in reported],
            "descriptions": [text for _, text in reported],
            "since": [states[number].since for number in numbers],
        }
        connection.execute(query("save_partition_states"), parameters)
        self._saved = (states, kafka is None)
        self._timers.put_off("save", _SAVE_SECONDS)

    def _session(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._open_store()
            self._connection.execute("set synchronous_commit to off")
        return self._connection


def _as_reported(reported: ReportedState, kafka_fault: str | None) -> tuple[PartitionState, str]:
    """Return a partition's state and its description; nothing is read of any while Kafka does not answer."""
    if reported.block is not None:
        return reported.state, describe_status(reported.block)
    if kafka_fault is not None:
        return PartitionState.KAFKA_UNAVAILABLE, f"waiting: {kafka_fault.rstrip('.')}"
    return PartitionState.READING, "reading"
