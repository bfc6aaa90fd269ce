"""The clock of a projector: a thread that searches periodically for stalled and interrupted requests.

It decides nothing itself: the partitions' owner checks each finding again and writes the decision in its own
transaction. The clock asks the broker for the end of each log and reads the producers' statuses from the store, in a
session of its own, so that reading and writing events never wait for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.clock import findings as find
from stumble.clock.partition_watch import PartitionWatch
from stumble.clock.producers import ProducerReport, ProducerReports, ProducerStart
from stumble.clock.wall_clock import WallClock
from stumble.ingest.decisions import DecisionJob
from stumble.outcome.deadlines import effective_deadlines
from stumble.runtime.timers import Timers
from stumble.runtime.worker import Worker
from stumble.store.connect import StoreError, connect
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from psycopg import Connection

    from stumble.ingest.decisions import ClockFinding
    from stumble.settings.clock import ClockSettings

LOG = logging.getLogger("stumble.projector")
#: Seconds for which a finding that was checked and not decided is not submitted again.
_REFUSED_SECONDS = 60.0
#: How often the clock asks which hosts bridges report for.
_BRIDGED_SECONDS = 30.0
#: Rows of one transaction may appear later than those of another that began after it.
_OVERLAP_US = 10_000_000


class Clock(Worker):
    """Finds requests to decide in the assigned partitions.

    ``end_offsets`` asks the broker for the ends of logs (partition to next offset; None without an answer).
    """

    def __init__(
        self,
        url: str,
        settings: ClockSettings,
        end_offsets: Callable[[Iterable[int]], Mapping[int, int] | None],
        application: str,
        wall_clock: WallClock | None = None,
    ) -> None:
        super().__init__("clock", LOG)
        self._url = url
        self._settings = settings
        self._deadlines = effective_deadlines(settings.deadlines)
        self._end_offsets = end_offsets
        self._application = application
        self._wall_clock = wall_clock or WallClock()
        self._producers = ProducerReports(settings.silent_after, settings.startup_time, settings.restart_confirmation)
        self._timers = Timers()
        self._watches: dict[int, PartitionWatch] = {}
        self._checked: set[tuple[int, ProducerStart]] = set()
        self._refused: dict[tuple[str, int, str], float] = {}
        self._since = 0
        #: Watermark of each partition that has one, UTC microseconds.
        self.watermarks: Mapping[int, int] = {}
        self._positions: Mapping[int, int] = {}
        self._waiting_findings: list[ClockFinding] = []
        self._deciding: list[ClockFinding] = []
        self._waiting = False
        self._connection: Connection[Any] | None = None

    # Called by the thread that reads and writes events -----------------------------------------------

    def at(self, positions: Mapping[int, int]) -> None:
        """Set the store's offsets (partition to next offset) of the partitions that are read."""
        self._positions = positions

    def job(self, stored: Mapping[int, int]) -> DecisionJob | None:
        """Return each set of findings to decide once, None if there are none; `decided` must follow.

        ``stored``: the assigned partitions (to next offset); for others this process may no longer decide.
        """
        if not self._waiting_findings:
            return None
        self._deciding = [finding for finding in self._waiting_findings if finding.partition in stored]
        self._waiting_findings = []
        if not self._deciding:
            self._waiting = False
            return None
        positions = {finding.partition: stored[finding.partition] for finding in self._deciding}
        return DecisionJob(positions, self._deciding, self._wall_clock.now())

    def decided(self, made: Iterable[ClockFinding], *, fenced: bool = False) -> None:
        """Note which of the last findings were decided; unless the job was fenced, the others no longer hold."""
        if not fenced:
            keys = {finding.request_key for finding in made}
            for finding in self._deciding:
                if finding.request_key not in keys:
                    self._refused[finding.identity] = self._wall_clock.steady()
        self._deciding = []
        self._waiting = False

    # Called by the clock's own thread ----------------------------------------------------------------

    def run_once(self) -> float:
        """Search once; return the seconds until the next search.

        Raises psycopg's errors and `StoreError` when the store is unavailable.
        """
        now, positions = self._wall_clock.steady(), dict(self._positions)
        connection = self._session()
        self._load_reports(connection, now)
        for partition in self._watches.keys() - positions.keys():
            del self._watches[partition]
        for partition, stored in positions.items():
            watch = self._watches.get(partition)
            if watch is None:
                watch = self._watches[partition] = self._new_watch()
            watch.update(self._producers, stored, now)
        self._mark(now)
        self.watermarks = self._find_watermarks(now)
        if not self._waiting:
            refused = {one: at for one, at in self._refused.items() if now - at < _REFUSED_SECONDS}
            self._refused = refused
            if result := self._find(connection, now):
                self._waiting, self._waiting_findings = True, result
        return self._settings.check_interval

    def on_error(self, error: Exception) -> None:
        """Log the error and continue with a new session: if this thread ended, stalls would go undetected."""
        if isinstance(error, psycopg.Error) and not isinstance(error, psycopg.OperationalError):
            LOG.warning("The clock cannot read the store and tries again: %s", error)
        elif not isinstance(error, (StoreError, psycopg.Error)):  # an outage is logged by the writer
            super().on_error(error)
        self.close()

    def close(self) -> None:
        """Close the session with the store."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _find_watermarks(self, now: float) -> dict[int, int]:
        marks = {partition: watch.watermark(self._producers, now) for partition, watch in self._watches.items()}
        return {partition: until for partition, until in marks.items() if until is not None}

    def _new_watch(self) -> PartitionWatch:
        own = self._settings
        return PartitionWatch(own.silent_after, own.settle, own.longest_hold, 2 * own.check_interval + 1)

    def _find(self, connection: Connection[Any], now: float) -> list[ClockFinding]:
        """Return the findings to decide; of a restart and a silence, the restart is the more precise cause."""
        result: dict[str, ClockFinding] = {}
        for finding in [
            *self._restarted(connection),
            *self._returned(connection),
            *find.on_dead_hosts(connection, self._dead(now)),
            *find.overdue(connection, self.watermarks, self._deadlines, self._held()),
        ]:
            if finding.identity not in self._refused:
                result.setdefault(finding.request_key, finding)
        return list(result.values())

    def _restarted(self, connection: Connection[Any]) -> list[ClockFinding]:
        """Return requests that restarts may have interrupted; a restart is checked per partition until none is left."""
        starts = [(partition, start) for start in self._producers.starts() for partition in self._watches]
        self._checked.intersection_update(starts)  # drop starts that a later start of the service replaces
        due = [
            (partition, start)
            for partition, start in starts
            if (partition, start) not in self._checked
            and self._watches[partition].covers(start.relay_host, start.settled_at)
        ]
        result = [one for one in find.on_restarted_hosts(connection, due) if one.identity not in self._refused]
        if len(result) < find.LIMIT:
            left = {(one.partition, one.evidence["host"]) for one in result}
            self._checked.update(one for one in due if (one[0], one[1].host) not in left)
        return result

    def _returned(self, connection: Connection[Any]) -> list[ClockFinding]:
        """Return stalled requests whose host reports again; each return is checked until none is left."""
        asked = {
            (partition, host): (watch, relay_hosts)
            for partition, watch in self._watches.items()
            for host, relay_hosts in self._producers.hosts_of(watch.returned, partly=True).items()
        }
        again = find.received_again(connection, asked, self._deadlines)
        result = [one for one in again if one.identity not in self._refused]
        if not result:
            for watch, relay_hosts in asked.values():
                watch.returned.difference_update(relay_hosts)
        return result

    def _dead(self, now: float) -> dict[tuple[int, str], int]:
        return {
            (partition, host): max(silent[relay_host] for relay_host in relay_hosts)
            for partition, watch in self._watches.items()
            if watch.up_to_date(now) and watch.counted >= self._settings.settle
            for silent in (watch.silent(self._producers),)
            for host, relay_hosts in self._producers.hosts_of(silent).items()
        }

    def _held(self) -> dict[tuple[int, str], int]:
        return {
            (partition, host): min(held[relay_host] for relay_host in relay_hosts)
            for partition, watch in self._watches.items()
            for held in (watch.held(self._producers),)
            for host, relay_hosts in self._producers.hosts_of(held).items()
        }

    def _load_reports(self, connection: Connection[Any], now: float) -> None:
        rows = connection.execute(
            query("load_changed_producers"), {"since": max(0, self._since - _OVERLAP_US)}
        ).fetchall()
        self._producers.add_reports([ProducerReport(*row[:-1]) for row in rows], now)
        self._since = max([self._since, *(row[-1] for row in rows)])
        if self._timers.due("bridged", _BRIDGED_SECONDS):
            self._producers.set_bridged(connection.execute(query("load_bridged_hosts")).fetchall())

    def _mark(self, now: float) -> None:
        waiting = [partition for partition, watch in self._watches.items() if watch.pending is None]
        if not waiting:
            return
        relays, at = self._producers.relays, self._wall_clock.now()
        for partition, end in (self._end_offsets(waiting) or {}).items():
            self._watches[partition].mark(end, at, now, relays)

    def _session(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, application=self._application)
        return self._connection
