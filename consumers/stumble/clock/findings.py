"""The clock's findings: requests in flight, and why the owner must decide them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stumble.clock.producers import ProducerStart
from stumble.ingest.decisions import ClockFinding
from stumble.outcome import evidence
from stumble.outcome.deadlines import OTHER
from stumble.outcome.records import IN_PROGRESS, INTERRUPTION, STALLED
from stumble.outcome.rules import ACTIONS
from stumble.store.json_rows import as_json
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from psycopg import Connection

#: Highest number of findings of one query; the next search finds the rest.
LIMIT: Final = 500


class _OnHost(NamedTuple):
    """A row of the queries about hosts."""

    request_key: str
    instance: str
    request_id: str
    partition: int
    host: str
    last: int

    @property
    def location(self) -> tuple[int, str]:
        """The partition and host where it is in flight."""
        return self.partition, self.host

    def finding(self, kind: str, cause: str, **times: int) -> ClockFinding:
        """Return the finding; ``times`` are UTC microseconds, added to the evidence."""
        details = {"cause": cause, "last": str(self.last), "host": self.host}
        details.update((name, str(at)) for name, at in times.items())
        return ClockFinding(self.request_key, self.instance, self.request_id, self.partition, self.last, kind, details)


def overdue(
    connection: Connection[Any],
    watermarks: Mapping[int, int],
    deadlines: Mapping[str, float],
    held: Mapping[tuple[int, str], int] = MappingProxyType({}),
) -> list[ClockFinding]:
    """Return requests without an event for their deadline, in partitions with a watermark (UTC microseconds).

    ``held``: up to when all events of a (partition, host) are known, where that is earlier for its own requests.
    """
    if not watermarks:
        return []
    parameters = {
        "watermarks": as_json([{"kafka_partition": p, "watermark": until} for p, until in watermarks.items()]),
        "held": as_json([{"kafka_partition": p, "host": host, "until": until} for (p, host), until in held.items()]),
        "shortest": min(deadlines.values()),
        **_deadlines(deadlines),
    }
    result = []
    for key, instance, request_id, partition, action, host, last, seconds in connection.execute(
        query("load_overdue_requests"), parameters
    ):
        details = {
            "cause": evidence.DEADLINE,
            "last": str(last),
            "deadline": str(seconds),
            "watermark": str(watermarks[partition]),
            **({"action": action} if action else {}),
            **({"host": host} if host else {}),
        }
        result.append(ClockFinding(key, instance, request_id, partition, last, STALLED, details))
    return result


def on_dead_hosts(connection: Connection[Any], dead: Mapping[tuple[int, str], int]) -> list[ClockFinding]:
    """Return requests in flight on dead hosts: (partition, Nova's host) to the time of its last report."""
    return [row.finding(STALLED, evidence.SILENCE, since=dead[row.location]) for row in _in_flight(connection, dead)]


def received_again(
    connection: Connection[Any], hosts: Iterable[tuple[int, str]], deadlines: Mapping[str, float]
) -> list[ClockFinding]:
    """Return requests within their deadline that stalled because their (partition, host), now reporting, was silent."""
    wanted = [{"kafka_partition": partition, "host": host} for partition, host in hosts]
    if not wanted:
        return []
    parameters = {"hosts": as_json(wanted), **_deadlines(deadlines)}
    rows = connection.execute(query("load_requests_stalled_by_silence"), parameters)
    return [_OnHost(*row).finding(IN_PROGRESS, evidence.RECEIVED_AGAIN) for row in rows]


def on_restarted_hosts(connection: Connection[Any], starts: Sequence[tuple[int, ProducerStart]]) -> list[ClockFinding]:
    """Return requests that may have been interrupted: in flight on a host (by partition) that has since restarted."""
    begun = {(partition, start.host): start.started_at for partition, start in starts}
    return [
        row.finding(INTERRUPTION, evidence.RESTART, since=begun[row.location], at=max(begun[row.location], row.last))
        for row in _in_flight(connection, begun)
    ]


def _deadlines(deadlines: Mapping[str, float]) -> dict[str, Any]:
    rows = [{"action": action, "seconds": seconds} for action, seconds in deadlines.items()]
    return {"deadlines": as_json(rows), "actions": list(ACTIONS), "other": OTHER, "limit": LIMIT}


def _in_flight(connection: Connection[Any], hosts: Collection[tuple[int, str]]) -> list[_OnHost]:
    wanted = [{"kafka_partition": partition, "host": host} for partition, host in hosts]
    if not wanted:
        return []
    partitions = sorted({partition for partition, _ in hosts})
    parameters = {"hosts": as_json(wanted), "partitions": partitions, "limit": LIMIT}
    return [_OnHost(*row) for row in connection.execute(query("load_requests_on_hosts"), parameters)]
