"""The store's counters as Prometheus families, summed over partitions.

Counters never decrease: a correction counts as a new entry and as one withdrawn. Known series exist from the start, at
zero, so that rates and alerts work from the first failure on. After a restore they are left out until everything that
the topic then held was read again: a gap is no increase.
"""

from __future__ import annotations

import time
from collections import defaultdict
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily

from stumble.ingest.difference_writer import WITHDRAWN
from stumble.ingest.transaction import LATE_EVENTS, REPLACED_TIMES
from stumble.metrics import definitions as d
from stumble.metrics.exposition import exemplar
from stumble.outcome import diff
from stumble.outcome.records import BLAMES, OUTCOMES, SIGHTING_STATES, STALLED
from stumble.outcome.rules import RULES
from stumble.store.incarnation import explain_catch_up, read_incarnation
from stumble.store.queries import query
from stumble.wire.taxonomy import is_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prometheus_client.core import Metric as Family
    from psycopg import Connection

#: A host is silent if its last report is older than the first and newer than the second number of seconds.
_SILENT = (600.0, 86_400.0)
Values = dict[tuple[str, ...], int]


class _HostState(NamedTuple):
    """A host as its relay last reported it; times are seconds since 1970."""

    host: str
    backlog: int
    oldest: float | None
    refused: int
    rejected: int | None
    """Since the host's relay started; None if only relays of other hosts report it."""
    quarantined: int | None
    """The same."""
    received: float
    clock_offset: float


class StoreCollector:
    """A Prometheus collector of metrics that were read from the store in one snapshot."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        return self._families


def store_metrics(
    connection: Connection[Any], topic: str = "instance-actions", *, hosts: bool = True, max_hosts: int = d.MAX_HOSTS
) -> StoreCollector:
    """Read the store's counters; raises psycopg's errors if it is unavailable.

    Without `hosts` all hosts are one; with them, those beyond `max_hosts` are one.
    """
    counted: dict[str, Values] = defaultdict(dict)
    for metric, labels, value in connection.execute(query("load_counters")):
        counted[metric][tuple(labels)] = value
    incarnation = read_incarnation(connection)
    counts = connection.execute(query("count_partitions_to_catch_up"), {"topics": [topic]}).fetchone()
    catching_up = explain_catch_up(incarnation, *(counts or (0, 0))) is not None
    counter = partial(_counter, incarnation=str(incarnation.number) if incarnation else "")
    actions = sorted({*RULES, d.OTHER})
    outcomes, blames = list(product(actions, OUTCOMES)), list(product(actions, BLAMES))
    exceptions = counted[diff.EXCEPTIONS]
    families = [
        _gauge(d.CATCHING_UP, {(): int(catching_up)}),
        counter(d.REQUESTS, counted[diff.REQUESTS], outcomes),
        counter(d.REQUESTS_WITHDRAWN, counted[diff.REQUESTS + WITHDRAWN], outcomes),
        _gauge(d.REQUESTS_STALLED, _stalled(counted), [(action,) for action in actions]),
        _gauge(d.REQUESTS_OPEN, counted[diff.OPEN], [(action,) for action in actions]),
        counter(d.FAILURES, counted[diff.FAILURES], blames, _newest_failures(connection)),
        counter(d.FAILURES_WITHDRAWN, counted[diff.FAILURES + WITHDRAWN], blames),
        counter(d.EXCEPTIONS, limit_exceptions(exceptions)),
        _gauge(d.EXCEPTIONS_SEEN, {(): len(exceptions)}),
        _gauge(d.EXCEPTIONS_LIMITED, {(): int(len(exceptions) > d.MAX_EXCEPTIONS)}),
        _gauge(d.EXCEPTIONS_UNKNOWN, {(): sum(is_unknown(exception) for (exception,) in exceptions)}),
        counter(d.LATE_EVENTS, counted[LATE_EVENTS], [()]),
        counter(d.REPLACED_TIMES, counted[REPLACED_TIMES], [()]),
        *_sightings(connection),
        *_outboxes(connection, hosts=hosts, max_hosts=max_hosts),
        *_last_record_times(connection, topic),
    ]
    return StoreCollector([family for family in families if not catching_up or family.type != "counter"])


def limit_exceptions(values: Values) -> Values:
    """Return the first `MAX_EXCEPTIONS` classes, in the order in which they were first counted; the rest is `other`.

    A class never leaves its own series, so no series decreases.
    """
    first = dict(list(values.items())[: d.MAX_EXCEPTIONS])
    rest = sum(list(values.values())[d.MAX_EXCEPTIONS :])
    if len(values) > d.MAX_EXCEPTIONS:
        first[d.OTHER,] = first.get((d.OTHER,), 0) + rest
    return first


def _stalled(counted: Mapping[str, Values]) -> dict[tuple[str, ...], int]:
    left = counted.get(diff.REQUESTS + WITHDRAWN, {})
    entered = {labels: value for labels, value in counted.get(diff.REQUESTS, {}).items() if labels[1] == STALLED}
    return {labels[:1]: value - left.get(labels, 0) for labels, value in entered.items()}


def _sightings(connection: Connection[Any]) -> Iterable[Family]:
    rows = connection.execute(query("count_sightings")).fetchall()
    states = [(state,) for state in SIGHTING_STATES]
    yield _gauge(d.SIGHTINGS, {(state,): count for state, count in rows}, states)


def _outboxes(connection: Connection[Any], *, hosts: bool, max_hosts: int) -> Iterable[Family]:
    rows = [_HostState(*row) for row in connection.execute(query("load_host_backlogs"))]
    silent = sum(_SILENT[0] < time.time() - row.received < _SILENT[1] for row in rows)
    yield _gauge(d.SILENT_HOSTS, {(): silent})
    ((bridged,),) = connection.execute(query("count_bridged_hosts")).fetchall()
    yield _gauge(d.HOSTS, {("relay",): len(rows), ("bridge",): bridged})
    yield _gauge(d.HOSTS_LIMITED, {(): int(hosts and len(rows) > max_hosts)})
    rows = [*rows[:max_hosts], *_as_one(d.OTHER, rows[max_hosts:])] if hosts else _as_one(d.ALL_HOSTS, rows)
    yield _gauge(d.HOST_BACKLOG_EVENTS, {(row.host,): row.backlog for row in rows})
    yield _gauge(d.HOST_OLDEST_UNSENT, {(row.host,): row.oldest for row in rows if row.oldest is not None})
    yield _gauge(d.HOST_REFUSED_EVENTS, {(row.host,): row.refused for row in rows})
    yield _counter(d.HOST_REJECTED_EVENTS, {(row.host,): row.rejected for row in rows if row.rejected is not None})
    quarantined: Values = {(row.host,): row.quarantined for row in rows if row.quarantined is not None}
    yield _counter(d.HOST_QUARANTINED_RECORDS, quarantined)
    yield _gauge(d.HOST_REPORTED, {(row.host,): row.received for row in rows})
    yield _gauge(d.HOST_CLOCK_OFFSET, {(row.host,): row.clock_offset for row in rows})


def _as_one(name: str, rows: Sequence[_HostState]) -> list[_HostState]:
    """Return hosts that reported within a day as one: sums, the oldest event and report, the worst clock."""
    recent = [row for row in rows if time.time() - row.received < _SILENT[1]]
    if not recent:
        return []
    return [
        _HostState(
            name,
            sum(row.backlog for row in recent),
            min((row.oldest for row in recent if row.oldest is not None), default=None),
            sum(row.refused for row in recent),
            sum(row.rejected or 0 for row in recent),
            sum(row.quarantined or 0 for row in recent),
            min(row.received for row in recent),
            max((row.clock_offset for row in recent), key=abs),
        )
    ]


def _last_record_times(connection: Connection[Any], topic: str) -> Iterable[Family]:
    rows = connection.execute(query("load_last_record_times"), {"topics": [topic]})
    yield _gauge(d.LAST_RECORD, {(str(partition),): time for partition, time in rows})


def _newest_failures(connection: Connection[Any]) -> dict[tuple[str, ...], Exemplar]:
    """Return the newest failure of each (action, blame), among the newest thousand of the last hour."""
    return {
        (action if action in RULES else d.OTHER, blame): Exemplar(
            exemplar(request_id=request_id, instance_uuid=instance), 1.0, at
        )
        for action, blame, request_id, instance, at in connection.execute(query("load_newest_failures"))
    }


def _counter(
    metric: d.Metric,
    values: Values,
    zeros: Iterable[tuple[str, ...]] = (),
    exemplars: Mapping[tuple[str, ...], Exemplar] = MappingProxyType({}),
    incarnation: str = "",
) -> Family:
    own = [incarnation] if d.INCARNATION in metric.labels else []
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in _filled(values, zeros).items():
        family.add_metric([*labels, *own], value, exemplar=exemplars.get(labels) if value else None)
    return family


def _gauge(metric: d.Metric, values: Mapping[tuple[str, ...], float], zeros: Iterable[tuple[str, ...]] = ()) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in _filled(values, zeros).items():
        family.add_metric(list(labels), value)
    return family


def _filled(values: Mapping[tuple[str, ...], float], zeros: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
    return {**dict.fromkeys(zeros, 0), **values}
