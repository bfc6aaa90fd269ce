"""Explains recorded signals: per server its events, its requests, and what the rules concluded from which event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, NamedTuple, Self

from stumble.explain.event_spool import Event, EventSpool
from stumble.explain.json_documents import JsonDocument, read_documents
from stumble.explain.signals import NoSignal, elements_of, signal_of
from stumble.outcome.decide import RequestCase
from stumble.outcome.derive import DerivedRequest, explain_requests
from stumble.outcome.facts import Fact, fact_of
from stumble.outcome.failures import root_of
from stumble.wire.errors import InvalidEvent

#: How many positions of unreadable input are remembered.
_SHOWN_POSITIONS: Final = 10
#: How many kinds of skipped signals are counted each.
_MOST_SKIPPED: Final = 500


class InputPosition(NamedTuple):
    """A line of the input, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file} line {self.line}"


class SkippedKind(NamedTuple):
    """Signals of one name that gave no events for one reason (``stumble.translate.skip``)."""

    reason: str
    name: str


@dataclass(slots=True)
class InputSummary:
    """What was read. ``signals``: numbers by kind; ``skipped``: number and first position of signals without events."""

    signals: Counter[str] = field(default_factory=Counter)
    events: int = 0
    skipped: Counter[SkippedKind] = field(default_factory=Counter)
    first_skipped: dict[SkippedKind, InputPosition] = field(default_factory=dict)
    unreadable: int = 0
    first_unreadable: list[tuple[InputPosition, str]] = field(default_factory=list)

    def count_skipped(self, kind: SkippedKind, position: InputPosition) -> None:
        """Count a signal without events."""
        if kind not in self.skipped and len(self.skipped) >= _MOST_SKIPPED:
            kind = SkippedKind(kind.reason, "others")
        self.skipped[kind] += 1
        self.first_skipped.setdefault(kind, position)

    def count_unreadable(self, position: InputPosition, problem: str) -> None:
        """Count a line or an element that is neither a notification nor a call nor an event."""
        self.unreadable += 1
        if len(self.first_unreadable) < _SHOWN_POSITIONS:
            self.first_unreadable.append((position, problem))


class FactRole(NamedTuple):
    """What the rules made of one event: the number of its request on the server (from 1), and the event's role there.

    ``role`` is None if the event decides nothing.
    """

    request: int
    role: str | None


@dataclass(frozen=True, slots=True)
class ServerExplanation:
    """One server: its events in time order, each once, and its requests in the order of their start."""

    instance_uuid: str
    events: tuple[Event, ...]
    requests: tuple[DerivedRequest, ...]
    #: How many events came more than once and are shown once.
    repeated: int

    def numbers(self) -> dict[str, int]:
        """Return the number of each event, from 1, by its id."""
        return {event["event_id"]: number for number, event in enumerate(self.events, 1)}

    def roles(self) -> dict[str, FactRole]:
        """Return the role of each event that belongs to a request, by its id."""
        return {
            event_id: FactRole(number, role)
            for number, request in enumerate(self.requests, 1)
            for event_id, role in _roles_in(request.case).items()
        }

    def number_of_linked(self, case: RequestCase) -> int | None:
        """Return the number of the request that cancelled ``case``, None if none did."""
        linked = case.linked
        return next((n for n, one in enumerate(self.requests, 1) if one.case.group is linked), None) if linked else None


class Explanation(NamedTuple):
    """The explanation of all input. ``without_server``: events that belong to none of the servers."""

    servers: tuple[ServerExplanation, ...]
    without_server: tuple[Event, ...]
    summary: InputSummary


class Explainer:
    """Reads signals from several inputs as one stream, then explains them server by server. A context manager."""

    def __init__(self) -> None:
        self.summary = InputSummary()
        self._spool = EventSpool()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.__exit__(kind, error, trace)

    def read(self, lines: Iterable[str | bytes], file: str = "-") -> None:
        """Read the lines of one input, in any of the forms of ``stumble.explain.signals``."""
        for document in read_documents(lines):
            position = InputPosition(file, document.line)
            if document.value is None:
                self.summary.count_unreadable(position, document.problem or "JSON, but not an object")
            else:
                self._read_document(document, position)

    def servers(self, server: str | None = None, request: str | None = None) -> Iterator[ServerExplanation]:
        """Yield the explanation of each server in the order of their first event.

        ``server`` and ``request`` (a request id or global request id) select servers; all events of a server are used.
        """
        chosen = [uuid for uuid in self._spool.servers(request) if server is None or uuid == server]
        for uuid, events in self._spool.events_by_server(chosen):
            yield explain_server(uuid, events)

    def without_server(self) -> tuple[Event, ...]:
        """Return the events that name no server and belong to none, in time order."""
        return tuple(sorted(_unique(self._spool.events_without_server()), key=_order))

    def _read_document(self, document: JsonDocument, position: InputPosition) -> None:
        for element in elements_of(document.value):
            try:
                signal = signal_of(element, document.prefix)
                for event in signal.translation.events:
                    self._spool.add(event)
            except (NoSignal, InvalidEvent) as error:
                self.summary.count_unreadable(position, str(error))
                continue
            self.summary.signals[signal.kind] += 1
            self.summary.events += len(signal.translation.events)
            if signal.translation.skipped is not None:
                self.summary.count_skipped(SkippedKind(signal.translation.skipped, signal.name[:255]), position)


def explain_server(instance_uuid: str, added: Sequence[Event]) -> ServerExplanation:
    """Return the explanation of one server from its events, in the order in which they were stored."""
    events = tuple(sorted(_unique(added), key=_order))
    requests = explain_requests(instance_uuid, [fact_of(event) for event in events])
    ordered = sorted(requests, key=lambda one: (one.record.started_at or 0, one.record.request_key))
    return ServerExplanation(instance_uuid, events, tuple(ordered), len(added) - len(events))


def explain(lines: Iterable[str | bytes]) -> Explanation:
    """Return the explanation of recorded signals, in any of the forms of ``stumble.explain.signals``."""
    with Explainer() as explainer:
        explainer.read(lines)
        return Explanation(tuple(explainer.servers()), explainer.without_server(), explainer.summary)


def _order(event: Event) -> tuple[int, str]:
    return event["occurred_at"], event["event_id"]


def _unique(events: Iterable[Event]) -> Iterable[Event]:
    """Return each event once; of several with one id the first, as the projector does."""
    by_id: dict[str, Event] = {}
    for event in events:
        by_id.setdefault(event["event_id"], event)
    return by_id.values()


def _roles_in(case: RequestCase) -> dict[str, str | None]:
    """Return the roles of a request's events; the rules of ``outcome.decide`` and ``outcome.failures`` gave them."""
    roles: dict[str, str | None] = {fact.event_id: None for fact in case.group.facts}
    roles |= {fact.event_id: _role_of_uncounted(fact, case.findings.verdict) for fact in case.failing}
    roles |= {fact.event_id: "success marker" for fact in case.successes}
    for number, cluster in enumerate(case.findings.clusters, 1):
        roles |= {fact.event_id: f"failure {number}" for fact in cluster.sightings}
    if case.cancelled is not None:
        roles[case.cancelled.event_id] = "cancellation"
    return roles


def _role_of_uncounted(fact: Fact, verdict: str | None) -> str:
    if verdict is not None and fact.failure is not None and root_of(fact.failure) == verdict:
        return "verdict"
    return "failure that is not counted"
