"""`/metrics`: the store's counters, the pipeline's freshness, the API's own metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from stumble.metrics.exposition import exposition
from stumble.metrics.store import StoreCollector, store_metrics
from stumble.store.connect import StoreError, connect
from stumble.store.rights import describe_store_error

if TYPE_CHECKING:
    from stumble.settings.base import Settings

router = APIRouter(tags=["health"])
_log = logging.getLogger(__name__)
_OUTAGES = (StoreError, psycopg.Error)


class StoreReading:
    """Reads the store's counters for scrapes, one at a time: scrapes that wait for it share the next reading."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._started = 0.0
        self._result: StoreCollector | None = None

    async def current(self) -> StoreCollector | None:
        """Return counters that were read after this call, None if the store cannot be read."""
        called = time.monotonic()
        async with self._lock:
            if self._started < called:
                self._started = time.monotonic()
                self._result = await run_in_threadpool(self._read)
            return self._result

    def _read(self) -> StoreCollector | None:
        try:
            return _stored(self._settings)
        except _OUTAGES as error:
            _log.warning("no store metrics: %s", describe_store_error(error, "api"))
            return None


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return all metrics in the format that the scraper accepts; `stumble_api_store_up` shows if the store's are there.

    OpenMetrics has exemplars: the request behind the newest failure of each action and blame.
    """
    own = request.app.state.metrics
    stored = await request.app.state.store_reading.current()
    own.store_up.set(stored is not None)
    collectors = (own.registry,) if stored is None else (stored, own.registry)
    body, kind = await run_in_threadpool(exposition, request.headers.get("accept"), *collectors)
    return Response(body, media_type=kind)


def _stored(settings: Settings) -> StoreCollector:
    """Read the store's counters in one snapshot."""
    url = settings.database_url.get_secret_value()
    with connect(url, application="stumble-metrics", autocommit=False, writes=False) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        return store_metrics(session, settings.kafka.topics.actions, hosts=settings.metrics_hosts)
