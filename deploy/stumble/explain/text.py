"""Explanations as text that a bug report can contain: lines of at most the terminal's width, no tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC
from typing import Any, Final

from stumble.explain.event_spool import Event
from stumble.explain.explanation import FactRole, InputSummary, ServerExplanation
from stumble.outcome.derive import DerivedRequest
from stumble.outcome.records import FailureRecord, RequestRecord
from stumble.runtime.times import from_micros
from stumble.translate.skip import MEANINGS
from stumble.wire.text import printable_text

#: Narrower lines would not hold a time and a host.
_LEAST_WIDTH: Final = 60
_SOURCES: Final = {"TAP": "call", "VERSIONED": "versioned", "LEGACY": "unversioned", "LIBRARY": "library"}
#: Fields that the heading shows, or that have a line of their own.
_SHOWN_ELSEWHERE: Final = frozenset({"action", "request_id", "outcome", "failures", "steps", "instance_uuid", "labels"})
_NOT_FOR_READERS: Final = frozenset({"event_ids", "detail_event_id"})


def server_lines(server: ServerExplanation, width: int, request: str | None = None) -> Iterator[str]:
    """Yield the explanation of a server; ``request``: only the requests with this id, and the events of these."""
    shown = [
        (number, one)
        for number, one in enumerate(server.requests, 1)
        if request is None or request in {one.record.request_id, one.record.global_request_id}
    ]
    roles, numbers = server.roles(), server.numbers()
    chosen = {number for number, _ in shown}
    names = [one.record.display_name for one in server.requests if one.record.display_name]
    yield f"Server {server.instance_uuid}" + (f" ({_plain(names[0])})" if names else "")
    yield ""
    yield "  Events (UTC)"
    for event in server.events:
        role = roles.get(event["event_id"])
        if request is None or (role is not None and role.request in chosen):
            yield from _event_lines(numbers[event["event_id"]], event, role, width)
    if server.repeated:
        yield f"  {_count(server.repeated, 'event')} came more than once."
    for number, one in shown:
        yield ""
        yield from _request_lines(server, number, one, numbers, width)


def events_without_server_lines(events: Iterable[Event], width: int) -> Iterator[str]:
    """Yield the events that belong to no server."""
    for number, event in enumerate(events, 1):
        if number == 1:
            yield "Events that name no server, and whose request id no server or several servers have (UTC)"
        yield from _event_lines(number, event, None, width, with_role=False)


def summary_lines(summary: InputSummary, width: int) -> Iterator[str]:
    """Yield what was read, and the signals that gave no events, with the reason."""
    read = [_count(number, kind) for kind, number in sorted(summary.signals.items(), reverse=True)]
    yield f"Read: {', '.join(read) or 'nothing'}; {_count(summary.events, 'event')}."
    if summary.skipped:
        yield "Signals that give no event:"
    for kind, number in summary.skipped.most_common():
        text = f"{number} {kind.name}: {MEANINGS.get(kind.reason, kind.reason)} First: {summary.first_skipped[kind]}."
        yield from _wrapped("  ", text, "    ", width)


def unreadable_sentence(summary: InputSummary) -> str | None:
    """Return one sentence about the lines that could not be read, None if there were none."""
    if not summary.unreadable:
        return None
    position, problem = summary.first_unreadable[0]
    more = [str(one) for one, _ in summary.first_unreadable[1:]]
    listed = f"; others: {', '.join(more)}" + (" …" if summary.unreadable > len(more) + 1 else "") if more else ""
    verb = "is" if summary.unreadable == 1 else "are"
    return _plain(
        f"{_count(summary.unreadable, 'line')} {verb} neither a notification nor a call nor an event: {position} is "
        f"{problem}{listed}."
    )


def _event_lines(
    number: int, event: Event, role: FactRole | None, width: int, *, with_role: bool = True
) -> Iterator[str]:
    head = f"  {number:>3}  {_time(event['occurred_at'])}  {event['host'] or '-'}"
    yield from _wrapped(head + "  ", _what(event), "       ", width)
    if failure := event["failure"]:
        yield from _wrapped("       failure: ", _failure_text(failure), "         ", width)
    if with_role:
        text = "no request" if role is None else f"request {role.request}" + (f": {role.role}" if role.role else "")
        yield from _wrapped("       ", f"-> {text}", "         ", width)


def _what(event: Event) -> str:
    source = event["source"]
    parts = [
        _SOURCES.get(source["kind"], str(source["kind"]).lower()),
        source["signal"] or source["event_type"] or "?",
        event["phase"],
        event["action"],
        event["step"],
        _state(event["instance"] or {}),
    ]
    parts += [
        f"{name}={event[name]}" for name in ("migration_status", "source_host", "dest_host", "target_id") if event[name]
    ]
    return "  ".join(str(part) for part in parts if part)


def _state(instance: Mapping[str, Any]) -> str:
    now = f"{instance.get('vm_state') or '-'}/{instance.get('task_state') or '-'}"
    before = f"{instance.get('old_vm_state') or '-'}/{instance.get('old_task_state') or '-'}"
    return "" if now == before == "-/-" else now if before in {"-/-", now} else f"{before} -> {now}"


def _failure_text(failure: Mapping[str, Any]) -> str:
    names = " < ".join([failure["exception"] or "?", *failure["chain"]])
    texts = dict.fromkeys(text for text in (failure["reason"], failure["message"]) if text)
    texts.pop(failure["exception"], None)
    module = f" ({failure['module']})" if failure["module"] else ""
    return f"{names}{module}, blame {failure['blame']}" + "".join(f": {text}" for text in texts)


def _request_lines(
    server: ServerExplanation, number: int, one: DerivedRequest, numbers: Mapping[str, int], width: int
) -> Iterator[str]:
    record, case = one.record, one.case
    yield from _wrapped(
        "  ", f"Request {number}: {record.action or 'unknown action'} {record.request_id or '-'}: {record.outcome}",
        "    ", width
    )  # fmt: skip
    yield from _wrapped("    ", f"Rule {one.decided_by.number}: {one.decided_by.value}", "      ", width)
    ends = [numbers[fact.event_id] for fact in case.successes if fact.event_id in numbers]
    yield from _wrapped("    ", f"Success markers: {_events(ends)}", "      ", width)
    for position, cluster in enumerate(case.findings.clusters, 1):
        seen = [numbers[fact.event_id] for fact in cluster.sightings if fact.event_id in numbers]
        text = f"Failure {position}: {cluster.exception} on {cluster.host or '-'}: {_events(seen)}"
        yield from _wrapped("    ", text, "      ", width)
    if not case.findings.clusters:
        yield "    Failures: none"
    if (linked := server.number_of_linked(case)) is not None:
        yield f"    Cancelled by request {linked}"
    yield "    Record"
    yield from _field_lines(record, "      ", width)
    for step in record.steps:
        text = f"step {step.step} on {step.host or '-'}, run {step.attempt}: {step.result or 'running'}"
        yield from _wrapped("      ", text, "        ", width)
    for position, failure in enumerate(record.failures, 1):
        yield f"    Record of failure {position}"
        yield from _field_lines(failure, "      ", width)


def _field_lines(record: RequestRecord | FailureRecord, indent: str, width: int) -> Iterator[str]:
    """Yield the fields of a record that have a value."""
    for declared in fields(record):
        value = getattr(record, declared.name)
        if value is None or value == () or declared.name in _SHOWN_ELSEWHERE | _NOT_FOR_READERS:
            continue
        text = (
            _time(value) if declared.name.endswith("_at") else " < ".join(value) if isinstance(value, tuple) else value
        )
        yield from _wrapped(indent, f"{declared.name}: {text}", indent + "  ", width)


def _events(numbers: list[int]) -> str:
    if not numbers:
        return "none"
    return f"event{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _time(micros: int) -> str:
    time = from_micros(micros)
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if time else str(micros)


def _plain(text: str) -> str:
    return " ".join(printable_text(text).split())


def _wrapped(first: str, text: str, indent: str, width: int) -> Iterator[str]:
    """Yield a text in lines of at most ``width``; words longer than a line are broken."""
    first, text = printable_text(first), _plain(text)
    if len(first) + len(text) <= width:  # most texts: 20 times as fast
        yield (first + text).rstrip()
        return
    yield from textwrap.wrap(
        text, max(width, _LEAST_WIDTH), initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )
