"""The metrics port of a role."""

from __future__ import annotations

import socket

import pytest
from prometheus_client import CollectorRegistry

from stumble.metrics.process import serve_metrics
from stumble.wire.errors import StumbleError


def test_port_in_use_raises_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StumbleError, match=rf"127.0.0.1:{port} \(Address already in use\): choose another"):
            serve_metrics("127.0.0.1", port, CollectorRegistry(), lambda: (True, ""), lambda: (True, ""))
