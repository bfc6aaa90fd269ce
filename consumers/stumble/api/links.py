"""Links to the next page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from fastapi import Request, Response

    from stumble.api.cursors import PageCursor


def with_cursor(request: Request, after: PageCursor) -> str:
    """Return the path of the page after a row.

    Durations such as `since=15m` stay as they are: the window moves with the clock, and rows leave it only at its old
    end.
    """
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{request.url.path}?{urlencode([*query, ('cursor', after.encode())])}"


def next_link(request: Request, response: Response, after: PageCursor) -> str:
    """Return the path of the next page; also set as `Link` header (RFC 8288)."""
    path = with_cursor(request, after)
    response.headers["Link"] = f'<{path}>; rel="next"'
    return path
