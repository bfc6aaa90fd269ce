"""HTTP requests with a timeout for busy machines; httpx itself gives up after five seconds."""

from __future__ import annotations

from typing import Any

import httpx

#: Seconds without a received byte.
HTTP_TIMEOUT = 60.0


def get(url: str, **options: Any) -> httpx.Response:
    """Send a GET request to `url`."""
    return httpx.get(url, timeout=HTTP_TIMEOUT, **options)
