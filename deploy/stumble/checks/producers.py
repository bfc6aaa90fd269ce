"""Check the producers' reports: silent hosts, waiting and refused events, and what the tap could not wrap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from stumble.checks.model import IMPORTING, CheckContext, CheckResult, fine, skipped, warning, wrong

__all__ = ["check_producers", "check_tap"]

_WAITING_SECONDS = 300
_SHOWN = 20
#: A status may wait for the broker, so a clock that is behind is reported only if it is wrong by much.
_AHEAD_SECONDS, _BEHIND_SECONDS = 60, 300
_HOSTS = """
select host, extract(epoch from now() - max(received_at))::float8,
       extract(epoch from now() - min(oldest_unsent_at) filter (where process <> 'relay'))::float8,
       coalesce(sum(backlog_events) filter (where process <> 'relay'), 0)::bigint,
       coalesce(sum(refused_total) filter (where process <> 'relay'), 0)::bigint,
       coalesce(sum(rejected_total) filter (where process <> 'relay'), 0)::bigint,
       coalesce(sum((status->>'quarantined_total')::bigint) filter (where process <> 'relay'), 0)::bigint,
       (array_agg(extract(epoch from reported_at - received_at)::float8 order by received_at desc, process))[1]
from stumble_durable.producers where removed_at is null group by host order by host
"""
_LATE = """
select count(*), max(occurred_at)::text from stumble_derived.late_events where stored_at > now() - interval '1 day'
"""
_TAPS = """
select host, coalesce(status->>'service', process), status->>'tap'
from stumble_durable.producers
where alive and process <> 'relay' and removed_at is null and status->>'tap' is not null order by 1, 2
"""


def check_producers(scope: CheckContext) -> Iterator[CheckResult]:
    """Read each host's last report from the store."""
    rows = _rows(scope, _HOSTS)
    if not rows:
        yield warning("producers", "no relay has reported yet", "start `stumble relay` on the hosts of Nova")
        return
    silent_after = scope.settings.clock.silent_after
    findings = [finding for row in rows for finding in _of_host(silent_after, *row)]
    yield from findings[:_SHOWN]
    if len(findings) > _SHOWN:
        yield warning("producers", f"{len(findings) - _SHOWN} more findings like these", "fix these first")
    silent = sum(row[1] > silent_after for row in rows)
    yield from _late(scope)
    yield fine("producers", f"{len(rows) - silent} of {len(rows)} hosts report")


def _late(scope: CheckContext) -> Iterator[CheckResult]:
    ((count, last),) = _rows(scope, _LATE)
    if count:
        says = f"{count} events that came in the last day are older than stored requests (the last: {last})"
        yield warning(
            "producers",
            f"{says}: nothing is derived from them",
            "the projector's log names the hosts: check their clocks and relays",
        )


def _of_host(
    silent_after: float,
    host: str,
    silence: float,
    waiting: float | None,
    backlog: int,
    refused: int,
    rejected: int,
    damaged: int,
    clock: float,
) -> Iterator[CheckResult]:
    if silence > silent_after:
        todo = "start its stumble-relay and check its connection to Kafka; the store deletes removed hosts by itself"
        yield wrong(host, f"silent for {_span(silence)}: failures there are unknown", todo)
    elif waiting is not None and waiting > _WAITING_SECONDS:
        yield wrong(host, f"{backlog} events wait for up to {_span(waiting)}", "read the log of its relay")
    if clock > _AHEAD_SECONDS or clock < -_BEHIND_SECONDS:
        way = "ahead of" if clock > 0 else "behind"
        says = f"its clock is {_span(abs(clock))} {way} Kafka's: the times of its events are wrong"
        yield wrong(host, says, "synchronize it with a time server (check with: chronyc tracking)")
    if refused:
        yield warning(
            host,
            f"{refused} events were refused: outbox full or too little disk space",
            "stumble outbox ls on that host",
        )
    if rejected:
        yield warning(host, f"{rejected} events were rejected", "run `stumble outbox export --rejected` on that host")
    if damaged:
        yield warning(host, f"{damaged} damaged records are in quarantine", "check the disk of that host")


def check_tap(scope: CheckContext) -> Iterator[CheckResult]:
    """Report where the tap could not wrap all Nova functions, from the store and from this host's outbox."""
    states: dict[str, set[str]] = {}
    for host, service, state in _local(scope) + (_rows(scope, _TAPS) if scope.names_database else []):
        states.setdefault(state, set()).add(f"{service} on {host}")
    if not states:
        yield skipped("tap", "no service has reported the state of its tap")
    for state, services in sorted(states.items()):
        where = ", ".join(sorted(services)[:5]) + (f" and {len(services) - 5} more" if len(services) > 5 else "")
        if state.startswith("partial"):
            todo = "some failures may be missed, none is wrong: use a release of stumble made for that Nova"
            yield warning(where, f"the tap could wrap only part of Nova: {state}", todo)
        elif state == "on":
            yield fine(where, "the tap is on")
        else:
            todo = "set tap = true in [stumble], or notification_format = both in [notifications]"
            yield warning(where, f"the tap is {state}: Nova sends no notification of some failures", todo)


def _local(scope: CheckContext) -> list[tuple[str, str, str]]:
    with IMPORTING:
        from stumble.outbox.counters import read_about  # noqa: PLC0415 - a database host needs no outbox
        from stumble.outbox.folders import is_live, outbox_folders  # noqa: PLC0415

    if not scope.names_outbox:
        return []
    abouts = []
    for folder in outbox_folders(str(scope.settings.outbox_dir)):
        with suppress(OSError):  # the check `outbox` reports a folder that the relay cannot read
            abouts += [read_about(folder.path)] if is_live(folder) else []
    return [
        (str(about.get("host")), str(about.get("service")), str(about["tap"]))
        for about in abouts
        if about.get("tap") is not None
    ]


def _rows(scope: CheckContext, statement: str) -> list[Any]:
    with IMPORTING:
        from stumble.checks.store import open_session  # noqa: PLC0415 - only where there is a database

    with open_session(scope) as connection:
        return connection.execute(statement.encode()).fetchall()


def _span(seconds: float) -> str:
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 60:.0f} minutes"
