"""How long one scrape takes for a large fleet: the store's counters and four series per host."""

from __future__ import annotations

import time

import psycopg

from bench.report import Report
from bench.stack import Stack
from stumble.metrics.exposition import exposition
from stumble.metrics.store import store_metrics
from stumble.store.connect import connect
from stumble.store.migrate import migrate

_SERIES = 10_000
_HOSTS = """
insert into stumble_durable.producers (host, process, reported_at, alive, oldest_unsent_at, backlog_events,
    backlog_bytes, accepted_total, sent_total, refused_total, rejected_total, status)
select 'compute-' || number, 'uid-162/nova-compute-1', now(), true, now(), 1, 1, 2, 1, 0, 0, '{}'
from generate_series(1, %s) as number
"""
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def measure(report: Report, stack: Stack, *, runs: int) -> None:
    """Measure reading the store and rendering at least 10,000 series, in milliseconds, in both formats."""
    url = stack.database()
    migrate(url)
    with psycopg.connect(url) as session:
        session.execute(_HOSTS, [_SERIES // 4])
    for name, accept in (("metrics_10000_series_ms", None), ("metrics_10000_series_openmetrics_ms", _OPENMETRICS)):
        report.add(name, [_scrape(url, accept) for _ in range(max(runs, 3))], "<= 300")
    stack.drop(url)


def _scrape(url: str, accept: str | None) -> float:
    began = time.perf_counter()
    with connect(url, application="bench") as session:
        body, _ = exposition(accept, store_metrics(session, max_hosts=_SERIES))
    taken = 1000 * (time.perf_counter() - began)
    series = sum(1 for line in body.splitlines() if not line.startswith(b"#"))
    if series < _SERIES:
        raise RuntimeError(f"only {series} of at least {_SERIES} series were rendered")
    return taken
