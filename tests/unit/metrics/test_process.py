"""The metrics port of a role."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Gauge

from stumble.metrics.process import serve_metrics
from stumble.wire.errors import StumbleError


def test_port_in_use_raises_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StumbleError, match=rf"127.0.0.1:{port} \(Address already in use\): choose another"):
            serve_metrics("127.0.0.1", port, CollectorRegistry(), lambda: (True, ""), lambda: (True, ""))


def healthy() -> tuple[bool, str]:
    return True, "works"


def test_metrics_that_cannot_be_written_are_answered_with_500_and_a_sentence():
    registry = CollectorRegistry()
    Gauge("name", "text", ("label",), registry=registry).labels("\ud800").set(1)
    port = serve_metrics("127.0.0.1", 0, registry, healthy, healthy)
    with pytest.raises(urllib.error.HTTPError, match="500") as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30)
    with caught.value as answer:
        assert answer.read().startswith(b"The metrics cannot be written (UnicodeEncodeError)")


def health_of(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
        return int(answer.status)


def serving_threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


@pytest.mark.slow
def test_half_requests_leave_health_answering_and_threads_bounded():
    port = serve_metrics("127.0.0.1", 0, CollectorRegistry(), healthy, healthy)
    clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(100)]
    try:
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert health_of(port) == 200
        assert serving_threads() <= 40
        assert clients[0].recv(1) == b"", "the oldest connection was ended for a newer one"
        clients[-1].sendall(b"a")
        assert clients[-1].recv(1) == b"", "its time is over, although it sends on"
        deadline = time.monotonic() + 60
        while serving_threads():
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        for client in clients:
            client.close()
    assert health_of(port) == 200


@pytest.mark.slow
def test_client_that_does_not_read_is_ended():
    registry = CollectorRegistry()
    Gauge("name", "text", ("label",), registry=registry).labels("x" * 20_000_000).set(1)  # more than a socket buffers
    port = serve_metrics("127.0.0.1", 0, registry, healthy, healthy)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        deadline = time.monotonic() + 60
        while not serving_threads():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        while serving_threads():
            assert time.monotonic() < deadline
            time.sleep(0.1)
