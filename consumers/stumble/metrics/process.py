"""A process's own metrics and its `/metrics`, `/healthz` and `/readyz` on the metrics port."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stumble.metrics.build_info import add_build_info
from stumble.metrics.definitions import ALL, Metric, Role
from stumble.metrics.exposition import exposition
from stumble.wire.errors import StumbleError
from stumble.wire.masking import mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Returns whether the process is healthy, and a sentence.
    Check = Callable[[], tuple[bool, str]]


LOG = logging.getLogger(__name__)

#: Seconds that a client has for its request and the response, and connections at the same time, each with a thread.
_CONNECTION_SECONDS = 10.0
_MAX_CONNECTIONS = 32


class ProcessMetrics:
    """The metric families of one role."""

    def __init__(self, role: Role) -> None:
        self.registry = CollectorRegistry()
        add_build_info(self.registry, role)
        self._families = {metric.name: self._family(metric) for metric in ALL if metric.role == role}
        for metric in ALL:
            for value in metric.values if metric.role == role else ():
                self._families[metric.name].labels(value)

    def counter(self, metric: Metric) -> Counter:
        """Return the counter behind a definition."""
        return self._families[metric.name]  # type: ignore[no-any-return]

    def gauge(self, metric: Metric) -> Gauge:
        """Return the gauge behind a definition."""
        return self._families[metric.name]  # type: ignore[no-any-return]

    def histogram(self, metric: Metric) -> Histogram:
        """Return the histogram behind a definition."""
        return self._families[metric.name]  # type: ignore[no-any-return]

    def _family(self, metric: Metric) -> Any:
        if metric.kind == "counter":
            return Counter(metric.name, metric.help, metric.labels, registry=self.registry)
        if metric.kind == "gauge":
            return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
        return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=self.registry)


def serve_metrics(host: str, port: int, registry: CollectorRegistry, live: Check, ready: Check) -> int:
    """Serve in a thread of its own until the process ends; return the port (0 selects a free one).

    Raises `StumbleError` if the address cannot be bound.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                try:
                    body, kind = exposition(self.headers.get("Accept"), registry)
                except Exception as error:
                    LOG.exception("The metrics cannot be written.")
                    text = f"The metrics cannot be written ({type(error).__name__}); the log of the process says why.\n"
                    self._answer(500, "text/plain", text.encode())
                    return
                self._answer(200, kind, body)
            elif self.path in ("/healthz", "/readyz"):
                healthy, text = (live if self.path == "/healthz" else ready)()
                body = json.dumps({"status": "ok" if healthy else "failing", "detail": mask_secrets(text)}).encode()
                self._answer(200 if healthy else 503, "application/json", body)
            else:
                self._answer(404, "text/plain", b"not found; try /metrics, /healthz or /readyz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    try:
        server = _MetricsServer((host, port), Handler)
    except OSError as error:
        raise StumbleError(
            f"Metrics cannot be served on {host}:{port} ({error.strerror}): choose another --metrics-port, or another "
            "address by STUMBLE_METRICS_HOST."
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_address[1])


class _MetricsServer(ThreadingHTTPServer):
    """Ends a connection after its time, and the oldest one where there are too many: its thread ends with it."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[Any, float] = {}
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= _MAX_CONNECTIONS:
            self._end(next(iter(self._open), None))
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End what is overdue; `serve_forever` calls it twice a second."""
        too_old = time.monotonic() - _CONNECTION_SECONDS
        for request, since in list(self._open.items()):
            if since < too_old:
                self._end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away; http.server would write a traceback."""

    def _end(self, request: Any) -> None:
        self._open.pop(request, None)
        with suppress(OSError, AttributeError):  # its thread has closed it
            request.shutdown(socket.SHUT_RDWR)
