"""Templates, and the format of values in them."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from stumble.api.problems import problem
from stumble.runtime.times import rfc3339
from stumble.wire.text import one_line

if TYPE_CHECKING:
    from fastapi import Request, Response

HERE = Path(__file__).parent
STATIC = HERE / "static"
_TEMPLATES = Jinja2Templates(HERE / "templates")
#: Browsers load everything from this server and run no script inside a page: text from a cloud is never executed.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MINUTE, _HOUR = 60, 3600
_MESSAGE_CHARACTERS = 300


def clock(time: datetime | None) -> str:
    """Format a time to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else ""


def precise(time: datetime | None) -> str:
    """Format a time to the millisecond, without its date."""
    return f"{time:%H:%M:%S}.{time.microsecond // 1000:03d}" if time else ""


def took(start: datetime | None, end: datetime | None) -> str:
    """Format a duration."""
    if not start or not end:
        return ""
    seconds = max(0.0, (end - start).total_seconds())
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def words(symbol: str | None) -> str:
    """Format `IN_PROGRESS` as `in progress`."""
    return (symbol or "").replace("_", " ").lower()


def breakable(name: str | None) -> Markup:
    """Allow line breaks after the underscores of a name."""
    return Markup("_<wbr>").join((name or "").split("_"))


def shortened(message: str | None) -> str:
    """Return a failure's message as lists show it; live.js does the same."""
    return one_line(message, _MESSAGE_CHARACTERS)


_TEMPLATES.env.filters |= {
    "breakable": breakable,
    "clock": clock,
    "iso": rfc3339,
    "precise": precise,
    "shortened": shortened,
    "words": words,
}
_TEMPLATES.env.globals |= {"took": took}


def page(request: Request, template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
    """Render a page."""
    return _TEMPLATES.TemplateResponse(request, template, values, status_code=status, headers=_HEADERS)


def wants_page(request: Request) -> bool:
    """Return whether a browser requests a page, not a program the API."""
    path = request.url.path
    return not path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def render_error(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Answer a browser that requests a page with an error page, every other client with a problem."""
    if not wants_page(request):
        return problem(request, status, detail, headers)
    response = page(request, "error.html", status, title=HTTPStatus(status).phrase, detail=detail)
    response.headers.update(headers or {})
    return response
