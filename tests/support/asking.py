"""Asks over HTTP with the patience that a busy machine needs; httpx itself gives up after five seconds."""

from __future__ import annotations

from typing import Any

import httpx

#: Seconds without a byte.
PATIENCE = 60.0


def get(url: str, **options: Any) -> httpx.Response:
    """Ask for `url`."""
    return httpx.get(url, timeout=PATIENCE, **options)
