"""The producers' last reports: which relays report, up to when their events were sent, which services restarted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

#: The process name of the relay; its row holds the totals of its host.
RELAY: Final = "relay"
_COMPUTE: Final = "nova-compute"
_SECOND: Final = 1_000_000
#: A relay reports every 30 s. One without a new report for this part of the time after which a host counts as dead
#: (two minutes of ten) is not reporting now.
_REPORTING_PART: Final = 0.2
#: A host whose last report is this much older than the newest report of the fleet has left the fleet.
_LEFT_US: Final = 24 * 3600 * _SECOND
#: A service that is still starting after this will not resume any work.
_START_US: Final = 600 * _SECOND


class ProducerReport(NamedTuple):
    """A row of `producers`; times are UTC microseconds by the host's clock."""

    host: str
    process: str
    relay_host: str
    service: str | None
    alive: bool
    reported_at: int
    oldest_unsent_at: int | None
    started_at: int | None
    starting: bool
    ready_at: int | None

    @property
    def known_until(self) -> int:
        """The time up to which all events of this producer are in the topic."""
        return self.reported_at if self.oldest_unsent_at is None else min(self.oldest_unsent_at, self.reported_at)


@dataclass(frozen=True, slots=True)
class ProducerStart:
    """A restart of a compute service. With all events up to ``settled_at``, all work that it resumed is known."""

    host: str
    relay_host: str
    started_at: int
    settled_at: int


class ProducerReports:
    """The last report of each producer, and when each relay last sent a new one."""

    def __init__(self, silent_after: float, startup_time: float) -> None:
        self._reporting_within = silent_after * _REPORTING_PART
        self._startup_us = int(startup_time * _SECOND)
        self._reports: dict[tuple[str, str], ProducerReport] = {}
        self._changed_at: dict[str, float] = {}
        self._relays: Mapping[str, ProducerReport] = {}
        self._hosts: dict[str, set[str]] = {}

    def add_reports(self, reports: Sequence[ProducerReport], now: float) -> None:
        """Add reports; ``now`` in steady seconds. A relay counts as reporting when its report is newer."""
        for report in reports:
            key = (report.host, report.process)
            before = self._reports.get(key)
            if before is not None and before.reported_at >= report.reported_at:
                continue
            self._reports[key] = report
            if report.process == RELAY and before is not None:
                self._changed_at[report.host] = now
        if not reports:
            return
        newest = max((report.reported_at for report in self._reports.values() if report.process == RELAY), default=0)
        self._relays = {
            report.host: report
            for report in self._reports.values()
            if report.process == RELAY and report.reported_at > newest - _LEFT_US
        }
        for key in [key for key, report in self._reports.items() if self._is_stale(report, newest)]:
            del self._reports[key]
        self._hosts = defaultdict(set)
        for report in self._reports.values():
            self._hosts[report.relay_host].add(report.host)

    @staticmethod
    def _is_stale(report: ProducerReport, newest: int) -> bool:
        return not report.alive and report.reported_at <= newest - _LEFT_US

    @property
    def relays(self) -> Mapping[str, ProducerReport]:
        """The last report of each relay of the fleet, by host; a new mapping whenever one of them changes."""
        return self._relays

    def is_reporting(self, now: float) -> bool:
        """Return whether at least half of the fleet reports: otherwise the pipeline is silent, not a host."""
        if not self._relays:
            return False
        reporting = sum(
            now - self._changed_at.get(host, float("-inf")) < self._reporting_within for host in self._relays
        )
        return reporting * 2 >= len(self._relays)

    def hosts_of(self, relay_host: str) -> set[str]:
        """Return Nova's names of the hosts that a relay reports for."""
        return {relay_host} | self._hosts.get(relay_host, set())

    def starts(self) -> list[ProducerStart]:
        """Return the last start of each host's compute service, if enough is known to evaluate it."""
        by_host: dict[str, list[ProducerReport]] = defaultdict(list)
        for report in self._reports.values():
            if report.service == _COMPUTE and report.started_at is not None and report.process != RELAY:
                by_host[report.host].append(report)
        return [start for reports in by_host.values() if (start := self._start(reports)) is not None]

    def _start(self, reports: list[ProducerReport]) -> ProducerStart | None:
        newest = max(reports, key=lambda report: (report.started_at or 0, report.process))
        began = newest.started_at or 0
        if not newest.alive or (newest.starting and newest.reported_at < began + _START_US):
            return None
        if any(report is not newest and report.alive and report.reported_at > began for report in reports):
            return None  # the process before it still runs
        settled = newest.ready_at or began + (_START_US if newest.starting else self._startup_us)
        return ProducerStart(newest.host, newest.relay_host, began, settled)
