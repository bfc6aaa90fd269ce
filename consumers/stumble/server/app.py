"""Builds the app from routes, error handlers and metrics."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from stumble.api import dead_letters, failures, health, instances, manage, problems, requests, scrape, sightings, stream
from stumble.api.context import ApiContext
from stumble.api.database import Database
from stumble.api.host_guard import LocalCallers
from stumble.api.limits import ApiLimits, BodyLimit
from stumble.api.metrics import ApiMetrics, RequestMeasure
from stumble.api.publication_hub import PublicationHub
from stumble.api.responses import SafeResponses
from stumble.server import openapi
from stumble.store.connect import WriterPool
from stumble.web import pages
from stumble.web.rendering import STATIC, render_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from stumble.settings.base import Settings

DESCRIPTION = (
    "Failures of actions on Nova's servers, independent of the servers' states. "
    "The API listens on loopback only. Errors are RFC 9457 problem details."
)


def create_app(settings: Settings) -> FastAPI:
    """Build the app; it connects when it starts and needs no database until then."""
    database = Database(settings.database_url.get_secret_value())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        feed = PublicationHub(database)
        await database.open()
        feed.start()
        app.state.context = ApiContext(database, feed)
        app.state.writers = WriterPool(
            settings.database_url.get_secret_value(), application="stumble-api-changes", patience=3
        )
        try:
            yield
        finally:
            await feed.close()
            await database.close()
            app.state.writers.close()

    app = FastAPIOffline(
        title="stumble",
        version="1",
        summary="Failures of Nova instance actions.",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _add_routes(app)
    metrics = ApiMetrics()
    app.state.metrics = metrics
    app.state.settings = settings
    app.state.store_reading = scrape.StoreReading(settings)
    app.state.limits = ApiLimits()
    app.add_middleware(BodyLimit)
    app.add_middleware(LocalCallers)
    app.add_middleware(SafeResponses)
    app.add_middleware(RequestMeasure, metrics=metrics)
    problems.install(app, render=render_error)
    openapi.install(app)
    return app


def _add_routes(app: Any) -> None:
    parts = failures, sightings, requests, instances, stream, manage, dead_letters, health, scrape, openapi, pages
    for part in parts:
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
