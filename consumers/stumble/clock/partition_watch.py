"""How far everything is known in one partition, and which hosts it has waited for in vain.

A *mark* is made of the end of the partition's log and of what producers had said just before. Once the store has
read up to that end, everything that had happened before the earliest time which a producer still held back is known
there: that time is the watermark. It goes up only by what was really read and really said, so nothing that is down,
slow or stopped can move it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stumble.clock.producers import ProducerReport, ProducerReports

#: A mark that was reached no longer ago than this says that the partition is read to its end.
_FRESH_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of a log (next offset) at a time, and what relays had said by then."""

    end: int
    at: int
    steady: float
    relays: Mapping[str, ProducerReport]


@dataclass(slots=True)
class PartitionWatch:
    """One partition since it was assigned."""

    silent_after: float
    settle: float
    #: More than so many seconds between two looks, the process itself was stopped: the rest counts for nothing.
    longest_step: float
    pending: LogEnd | None = None
    reached: LogEnd | None = None
    #: Seconds during which the partition was read to its end and the fleet was heard.
    counted: float = 0.0
    #: Relay hosts that were heard since this watch began or since they had been silent.
    returned: set[str] = field(default_factory=set)
    _looked: float | None = None
    _present: set[str] = field(default_factory=set)
    #: Relay host to its last report and what had been counted then.
    _since: dict[str, tuple[int, float]] = field(default_factory=dict)

    def update(self, producers: ProducerReports, stored: int, now: float) -> None:
        """Take note of how far the store is (next offset) at a time in steady seconds."""
        step = 0.0 if self._looked is None else min(max(0.0, now - self._looked), self.longest_step)
        self._looked = now
        if self.pending is not None and stored >= self.pending.end:
            self.reached, self.pending = self.pending, None
        if self.up_to_date(now) and producers.is_reporting(now):
            self.counted += step
        for host, report in producers.relays.items():
            known = self._since.get(host)
            if known is None or known[0] != report.reported_at:
                self._since[host] = (report.reported_at, self.counted)
                if known is not None and host not in self._present:
                    self._present.add(host)
                    self.returned.add(host)
            elif self._is_silent(host):
                self._present.discard(host)
                self.returned.discard(host)

    def mark(self, end: int, at: int, now: float, relays: Mapping[str, ProducerReport]) -> None:
        """Set the next mark; ``relays`` was read before ``end`` was asked."""
        if self.pending is None:
            self.pending = LogEnd(end, at, now, relays)

    def up_to_date(self, now: float) -> bool:
        """Tell whether the partition is read to its end."""
        return self.reached is not None and now - self.reached.steady < _FRESH_SECONDS

    def silent(self, producers: ProducerReports) -> dict[str, int]:
        """Return the relay hosts that count as dead, with the time of their last word."""
        return {host: report.reported_at for host, report in producers.relays.items() if self._is_silent(host)}

    def _is_silent(self, host: str) -> bool:
        return self.counted - self._since.get(host, (0, self.counted))[1] >= self.silent_after

    def watermark(self, producers: ProducerReports, now: float) -> int | None:
        """Return the watermark, UTC microseconds; None where nothing may be concluded (yet)."""
        mark = self.reached
        if mark is None or not mark.relays or self.counted < self.settle or not self.up_to_date(now):
            return None
        dead = self.silent(producers)
        waited_for = [report.known_until for host, report in mark.relays.items() if host not in dead]
        return min([mark.at, *waited_for]) if waited_for else None

    def covers(self, relay_host: str, at: int) -> bool:
        """Tell whether all that happened on a host up to a time is known."""
        if self.reached is None or self.counted < self.settle:
            return False
        report = self.reached.relays.get(relay_host)
        return report is not None and report.known_until >= at
