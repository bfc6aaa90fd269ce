"""The API's own metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stumble.api.middleware import HttpMiddleware
from stumble.metrics.build_info import add_build_info

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class ApiMetrics:
    """Counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        add_build_info(self.registry, "api")
        self.requests = Counter(
            "stumble_api_requests_total",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "stumble_api_request_seconds",
            "Time to the end of a response, without streams.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.store_up = Gauge(
            "stumble_api_store_up", "1 if the store could be read for this scrape.", registry=self.registry
        )
        self.waiting = Gauge(
            "stumble_api_waiting_requests",
            "Requests that wait for an outcome.",
            registry=self.registry,
        )
        self.streams = Gauge("stumble_api_streams", "Open streams.", registry=self.registry)


class RequestMeasure(HttpMiddleware):
    """ASGI middleware that counts requests and measures their time."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        super().__init__(app)
        self._metrics = metrics

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the app and measure it."""
        status = 500
        started = time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        is_stream = scope["path"] == "/v1/stream"
        if is_stream:
            self._metrics.streams.inc()
        try:
            await self._app(scope, receive, note)
        finally:
            route = _route(scope)
            self._metrics.requests.labels(_method(scope), route, str(status)).inc()
            if is_stream:
                self._metrics.streams.dec()
            else:
                self._metrics.seconds.labels(route).observe(time.perf_counter() - started)


def _route(scope: Scope) -> str:
    """Return the route's pattern, not the path, so that the label has few values."""
    return str(getattr(scope.get("route"), "path", None) or "none")


def _method(scope: Scope) -> str:
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return str(scope["method"]) if scope["method"] in known else "other"
