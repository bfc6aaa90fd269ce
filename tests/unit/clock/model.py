"""A pipeline in memory with a settable time: hosts, relays, broker, store, clock; each part can be down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stumble.clock.partition_watch import PartitionWatch
from stumble.clock.producers import RELAY, ProducerReport, ProducerReports

STEP = 10
SECOND = 1_000_000
DEADLINE = 1200
SILENT = 600
SETTLE = 60
HOLD = 3600
_EVERY = 30


@dataclass
class Request:
    """A request with events at these seconds, each on a host; `ends`: the last event ends the request."""

    events: list[tuple[int, str]]
    ends: bool


@dataclass
class Host:
    unsent: list[tuple[int, int, bool]] = field(default_factory=list)  # time, request, is end


@dataclass
class Pipeline:
    """`down`: (part, from, to) in seconds; a part is `broker`, `store` or a host."""

    hosts: list[str]
    requests: list[Request]
    down: Iterable[tuple[str, int, int]] = ()
    drain: int = 50  # events that a relay sends in a step

    def __post_init__(self) -> None:
        self.at = {name: Host() for name in self.hosts}
        self.log: list[tuple[int, int, bool, int]] = []  # time, request, is end, sent at
        self.reports: list[ProducerReport] = []
        self.last: dict[int, tuple[int, int]] = {}  # request: time of the last event, time when it was stored
        self.ended: set[int] = set()
        self.stalled: dict[int, tuple[int, str]] = {}
        self.stored = self.reports_read = 0
        self.fleet: ProducerReports | None = None
        self.watch: PartitionWatch | None = None

    def is_down(self, part: str, now: int) -> bool:
        return any(part == one and start <= now < end for one, start, end in self.down)

    def run(self, seconds: int) -> dict[int, tuple[int, str]]:
        """Run for `seconds`; returns the stalled requests, with time and reason."""
        events = sorted(
            (at, number, host, one.ends and position == len(one.events) - 1)
            for number, one in enumerate(self.requests)
            for position, (at, host) in enumerate(one.events)
        )
        for now in range(0, seconds, STEP):
            while events and events[0][0] <= now:
                at, number, host, end = events.pop(0)
                self.at[host].unsent.append((at, number, end))
            if not self.is_down("broker", now):
                for name in self.hosts:
                    self._relay(name, now)
            if self.is_down("store", now):
                self.fleet = self.watch = None
            else:
                self._store(now)
        return self.stalled

    def _relay(self, name: str, now: int) -> None:
        if self.is_down(name, now):
            return
        host = self.at[name]
        self.log += [(*one, now) for one in host.unsent[: self.drain]]
        del host.unsent[: self.drain]
        if now % _EVERY == 0:
            oldest = min((one[0] for one in host.unsent), default=None)
            self.reports.append(report(name, now, oldest))

    def _store(self, now: int) -> None:
        if self.fleet is None or self.watch is None:
            self.fleet, self.watch, self.reports_read = (
                ProducerReports(SILENT, 45),
                PartitionWatch(SILENT, SETTLE, HOLD, 2 * STEP),
                0,
            )
        latest = {one.host: one for one in self.reports[self.reports_read :]}
        self.reports_read = len(self.reports)
        for at, number, end, _ in self.log[self.stored : self.stored + self.drain * 2]:
            last = max(at, self.last.get(number, (at, 0))[0])
            self.last[number] = (last, now)
            self.ended |= {number} if end else set()
            if number in self.stalled:
                self.stalled.pop(number)
            self.stored += 1
        if self.is_down("broker", now):
            self.watch.update(self.fleet, self.stored, now)
        else:
            self.fleet.add_reports(list(latest.values()), now)
            self.watch.update(self.fleet, self.stored, now)
            self.watch.mark(len(self.log), now * SECOND, now, self.fleet.relays)
        self._find_stalled(now)

    def _find_stalled(self, now: int) -> None:
        assert self.fleet is not None
        assert self.watch is not None
        until = self.watch.watermark(self.fleet, now)
        dead = self.watch.silent(self.fleet) if self.watch.up_to_date(now) else {}
        for number, (last, stored_at) in self.last.items():
            if number in self.ended or number in self.stalled:
                continue
            if until is not None and (last + DEADLINE) * SECOND <= until and stored_at + DEADLINE <= now:
                self.stalled[number] = (now, "deadline")
            elif self._host_of(number, last) in dead:
                self.stalled[number] = (now, "silence")

    def _host_of(self, number: int, last: int) -> str:
        return next(host for at, host in reversed(self.requests[number].events) if at <= last)


def report(host: str, at: int, oldest: int | None = None, *, clock: int = 0, delay: int = 0) -> ProducerReport:
    """Return a relay's report: made at ``at`` (seconds), received ``delay`` later; its clock is ``clock`` ahead."""
    return ProducerReport(
        host=host,
        process=RELAY,
        relay_host=host,
        relay_named=True,
        service="stumble-relay",
        alive=True,
        record_offset=at + delay,
        received_at=(at + delay) * SECOND,
        reported_at=(at + clock) * SECOND,
        oldest_unsent_at=None if oldest is None else (oldest + clock) * SECOND,
        started_at=None,
        started_seen_at=None,
        starting=False,
        ready_at=None,
        last_alive_at=(at + delay) * SECOND,
    )
