"""`/metrics`: the store's counters, the pipeline's freshness, the API's own metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from stumble.metrics.exposition import exposition
from stumble.metrics.store import StoreCollector, store_metrics
from stumble.store.connect import StoreError, connect

if TYPE_CHECKING:
    from stumble.settings.base import Settings

router = APIRouter(tags=["health"])
_log = logging.getLogger(__name__)
_OUTAGES = (StoreError, psycopg.Error)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return all metrics in the format that the scraper accepts; `stumble_api_store_up` shows if the store's are there.

    OpenMetrics has exemplars: the request behind the newest failure of each action and blame.
    """
    own = request.app.state.metrics
    try:
        stored = [await run_in_threadpool(_stored, request.app.state.settings)]
        own.store_up.set(1)
    except _OUTAGES as error:
        _log.warning("no store metrics: %s", str(error).strip())
        stored = []
        own.store_up.set(0)
    body, kind = await run_in_threadpool(exposition, request.headers.get("accept"), *stored, own.registry)
    return Response(body, media_type=kind)


def _stored(settings: Settings) -> StoreCollector:
    """Read the store's counters in one snapshot."""
    with connect(settings.database_url.get_secret_value(), application="stumble-metrics", autocommit=False) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        return store_metrics(session, settings.kafka.topics.actions, hosts=settings.metrics_hosts)
