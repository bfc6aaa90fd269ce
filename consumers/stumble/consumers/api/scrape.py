"""`/metrics`: the store's counters, the pipeline's freshness, the API's own measurements."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from stumble.consumers.metrics import store_metrics
from stumble.consumers.store.connect import StoreError, connect

if TYPE_CHECKING:
    from stumble.schemas.models.settings import Settings

router = APIRouter(tags=["health"])
_log = logging.getLogger(__name__)
_OUTAGES = (StoreError, psycopg.Error)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Give all metrics in Prometheus' text format; `stumble_api_store_up` says whether the store's are among them."""
    own = request.app.state.metrics
    try:
        stored = await run_in_threadpool(_stored, request.app.state.settings)
        own.store_up.set(1)
    except _OUTAGES as error:
        _log.warning("no store metrics: %s", str(error).strip())
        stored = b""
        own.store_up.set(0)
    return Response(stored + generate_latest(own.registry), media_type=CONTENT_TYPE_LATEST)


def _stored(settings: Settings) -> bytes:
    """Read the store's counters, all of one moment."""
    with connect(settings.database_url.get_secret_value(), application="stumble-metrics", autocommit=False) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        registry = CollectorRegistry()
        registry.register(store_metrics(session, settings.kafka.topics.actions))
    return generate_latest(registry)
