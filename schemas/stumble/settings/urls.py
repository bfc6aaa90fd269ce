"""URLs without user and password, for logs and messages."""

from __future__ import annotations

from urllib.parse import urlsplit


def without_password(url: str) -> str:
    """Return a URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
