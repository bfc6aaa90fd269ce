"""The producers' last reports: which relays report, up to when their events were sent, which services restarted.

A report is a claim of one host about itself. Its age is measured by the time at which the broker appended it; times by
the sender's own clock count for what happened on that host only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from stumble.ingest.record_times import FUTURE_US

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
    """A row of `producers`; times are UTC microseconds.

    ``received_at``, ``started_seen_at`` and ``last_alive_at`` are times of the broker; the others are by the clock of
    the sender.
    """

    host: str
    process: str
    relay_host: str
    #: Whether the record's header names the relay that sent it.
    relay_named: bool
    service: str | None
    alive: bool
    #: Position in the topic: another one is another report.
    record_offset: int
    received_at: int
    reported_at: int
    oldest_unsent_at: int | None
    started_at: int | None
    started_seen_at: int | None
    starting: bool
    ready_at: int | None
    last_alive_at: int | None
    removed: bool = False
    #: By how much the sender's clock is ahead of the broker's, as far as this report and the one before it show.
    ahead: int = 0

    @property
    def known_until(self) -> int:
        """The time up to which all events of this producer are in the topic, by the broker's clock where they differ.

        A report may wait in the relay while the broker is down, so it never counts for a time after it was made; a
        clock that is behind cannot be distinguished from that.
        """
        until = self.reported_at - self.ahead
        if self.oldest_unsent_at is not None:
            until = min(until, self.oldest_unsent_at - self.ahead)
        return min(until, self.received_at)

    @property
    def began_at(self) -> int:
        """When its process started, in the time in which the events of its host are stored."""
        started, seen = self.started_at or 0, self.started_seen_at or 0
        return started if started <= seen + FUTURE_US else seen


@dataclass(frozen=True, slots=True)
class ProducerStart:
    """A restart of a compute service. With all events up to ``settled_at``, all work that it resumed is known."""

    host: str
    relay_host: str
    started_at: int
    settled_at: int


class ProducerReports:
    """The last report of each producer, and when each relay last sent a new one. Durations are seconds."""

    def __init__(self, silent_after: float, startup_time: float, restart_confirmation: float = 0.0) -> None:
        self._reporting_within = silent_after * _REPORTING_PART
        self._startup_us = int(startup_time * _SECOND)
        self._confirmation_us = int(restart_confirmation * _SECOND)
        self._reports: dict[tuple[str, str], ProducerReport] = {}
        self._changed_at: dict[str, float] = {}
        self._relays: Mapping[str, ProducerReport] = {}
        #: Host without a relay of its own to the hosts of the relays that report its processes.
        self._hosts: dict[str, set[str]] = {}
        #: The same for hosts that only the events of bridges name.
        self._bridges: dict[str, set[str]] = {}

    def set_bridged(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Set which hosts bridges report for: pairs of a host and the host of the bridge's relay."""
        self._bridges = defaultdict(set)
        for host, relay_host in pairs:
            self._bridges[host].add(relay_host)

    def add_reports(self, reports: Sequence[ProducerReport], now: float) -> None:
        """Add reports as the store has them now; ``now`` in steady seconds.

        A relay counts as reporting from its second report on.
        """
        for report in reports:
            key = (report.host, report.process)
            before = self._reports.get(key)
            if report.removed:
                self._reports.pop(key, None)
                continue
            ahead = max(0, report.reported_at - report.received_at)
            if before is not None:
                if before.record_offset == report.record_offset and before.received_at == report.received_at:
                    continue
                ahead = max(ahead, before.reported_at - before.received_at)
                if report.process == RELAY:
                    self._changed_at[report.host] = now
            self._reports[key] = report._replace(ahead=ahead)
        if not reports:
            return
        newest = max((report.received_at for report in self._reports.values() if report.process == RELAY), default=0)
        self._relays = {
            report.host: report
            for report in self._reports.values()
            if report.process == RELAY and report.received_at > newest - _LEFT_US
        }
        for key in [key for key, report in self._reports.items() if self._is_stale(report, newest)]:
            del self._reports[key]
        self._hosts = defaultdict(set)
        for report in self._reports.values():
            if report.host not in self._relays and report.relay_host in self._relays:
                self._hosts[report.host].add(report.relay_host)

    @staticmethod
    def _is_stale(report: ProducerReport, newest: int) -> bool:
        return not report.alive and report.received_at <= newest - _LEFT_US

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

    def hosts_of(self, relay_hosts: Collection[str], *, partly: bool = False) -> dict[str, set[str]]:
        """Return Nova's names of the hosts for which only these relays report, each with its relays.

        A host with a relay of its own is that relay's; another one is that of all relays that name it. With `partly`,
        other relays may report for it, too, and are left out.
        """
        asked = set(relay_hosts)
        result = {relay: {relay} for relay in asked}
        for host, relays in {**self._bridges, **self._hosts}.items():
            reporting = relays & asked
            if host not in self._relays and reporting and (partly or reporting == relays):
                result[host] = reporting
        return result

    def starts(self) -> list[ProducerStart]:
        """Return the last start of each host's compute service, if enough is known to evaluate it."""
        by_host: dict[str, list[ProducerReport]] = defaultdict(list)
        for report in self._reports.values():
            if report.service == _COMPUTE and report.started_at is not None and report.process != RELAY:
                by_host[report.host].append(report)
        return [start for reports in by_host.values() if (start := self._start(reports)) is not None]

    def _start(self, reports: list[ProducerReport]) -> ProducerStart | None:
        """Return the last start, if the reports of all processes of its host agree on it.

        A status alone proves no restart: the same relay must have reported an earlier process, no other relay may
        report this host, and no earlier process may be reported alive after the first report of the start.
        """
        newest = max(reports, key=lambda report: (report.began_at, report.process))
        seen, others = newest.started_seen_at or 0, [report for report in reports if report is not newest]
        if not newest.alive or (newest.starting and newest.received_at < seen + _START_US):
            return None
        if not others or not newest.relay_named:
            return None
        for report in others:
            if report.relay_host != newest.relay_host or not report.relay_named:
                return None
            if report.last_alive_at is not None and report.last_alive_at > seen:
                return None
        ready = min(newest.ready_at - newest.ahead, newest.received_at) if newest.ready_at is not None else None
        settled = ready or seen + (_START_US if newest.starting else self._startup_us)
        return ProducerStart(
            newest.host, newest.relay_host, newest.began_at, max(settled, seen + self._confirmation_us)
        )
