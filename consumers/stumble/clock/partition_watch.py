"""The watermark of one partition, and the hosts that are silent there.

A *mark* consists of the end of the partition's log and of the producers' reports just before. When the store has read
up to that end, it has all events before the time of the oldest event that a producer had not sent then: that time is
the watermark. Only records that were read and reports that were received raise it, so nothing that is down, slow or
stopped can raise it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stumble.clock.producers import ProducerReport, ProducerReports

#: The partition counts as read to its end for this long after a mark was reached.
_FRESH_SECONDS: Final = 30.0
#: A relay that sends each event within this time holds nothing back, microseconds.
_PROMPT_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of a log (next offset) at a time (UTC microseconds; steady seconds), and the relays' reports by then."""

    end: int
    at: int
    steady: float
    relays: Mapping[str, ProducerReport]


@dataclass(slots=True)
class PartitionWatch:
    """One partition since it was assigned."""

    silent_after: float
    settle: float
    #: Of how many counted seconds at most a host with unsent events delays what is concluded about other hosts.
    longest_hold: float
    #: Of the time between two updates, at most this many seconds count: the process itself may have been stopped.
    longest_step: float
    pending: LogEnd | None = None
    reached: LogEnd | None = None
    #: Seconds during which the partition was read to its end and the fleet reported.
    counted: float = 0.0
    #: Relay hosts that have reported since this watch began or since they were silent.
    returned: set[str] = field(default_factory=set)
    _updated_at: float | None = None
    _present: set[str] = field(default_factory=set)
    #: Relay host to the offset of its last report and what had been counted then.
    _since: dict[str, tuple[int, float]] = field(default_factory=dict)
    #: Relay host to what had been counted when it began to hold back the watermark.
    _holding: dict[str, float] = field(default_factory=dict)

    def update(self, producers: ProducerReports, stored: int, now: float) -> None:
        """Update with the store's next offset, at a time in steady seconds."""
        step = 0.0 if self._updated_at is None else min(max(0.0, now - self._updated_at), self.longest_step)
        self._updated_at = now
        if self.pending is not None and stored >= self.pending.end:
            self.reached, self.pending = self.pending, None
        if self.up_to_date(now) and producers.is_reporting(now):
            self.counted += step
        for host, report in producers.relays.items():
            known = self._since.get(host)
            if known is None or known[0] != report.record_offset:
                self._since[host] = (report.record_offset, self.counted)
                if known is not None and host not in self._present:
                    self._present.add(host)
                    self.returned.add(host)
            elif self._is_silent(host):
                self._present.discard(host)
                self.returned.discard(host)
            if report.received_at - report.known_until > _PROMPT_US:
                self._holding.setdefault(host, self.counted)
            else:
                self._holding.pop(host, None)

    def mark(self, end: int, at: int, now: float, relays: Mapping[str, ProducerReport]) -> None:
        """Set the next mark; ``relays`` was read before ``end``."""
        if self.pending is None:
            self.pending = LogEnd(end, at, now, relays)

    def up_to_date(self, now: float) -> bool:
        """Return whether the partition is read to its end."""
        return self.reached is not None and now - self.reached.steady < _FRESH_SECONDS

    def silent(self, producers: ProducerReports) -> dict[str, int]:
        """Return the relay hosts that count as dead, with the time at which the broker got their last report."""
        return {host: report.received_at for host, report in producers.relays.items() if self._is_silent(host)}

    def _is_silent(self, host: str) -> bool:
        return self.counted - self._since.get(host, (0, self.counted))[1] >= self.silent_after

    def held(self, producers: ProducerReports) -> dict[str, int]:
        """Return the relay hosts for which others no longer wait, and up to when all of their own events are known."""
        return {
            host: report.known_until
            for host, report in producers.relays.items()
            if self.counted - self._holding.get(host, self.counted) >= self.longest_hold
        }

    def watermark(self, producers: ProducerReports, now: float) -> int | None:
        """Return the watermark, UTC microseconds; None where nothing may be concluded (yet)."""
        mark = self.reached
        if mark is None or not mark.relays or self.counted < self.settle or not self.up_to_date(now):
            return None
        ignored = self.silent(producers).keys() | self.held(producers).keys()
        waited_for = [report.known_until for host, report in mark.relays.items() if host not in ignored]
        return min([mark.at, *waited_for]) if waited_for else None

    def covers(self, relay_host: str, at: int) -> bool:
        """Return whether the store has all events of a host up to a time."""
        if self.reached is None or self.counted < self.settle:
            return False
        report = self.reached.relays.get(relay_host)
        return report is not None and report.known_until >= at
