"""Templates, and how values look in them."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from stumble.api.problems import problem
from stumble.runtime.times import rfc3339

if TYPE_CHECKING:
    from fastapi import Request, Response

HERE = Path(__file__).parent
STATIC = HERE / "static"
_TEMPLATES = Jinja2Templates(HERE / "templates")
#: Everything comes from this server, no script stands in a page: text from a cloud can never run.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MINUTE, _HOUR = 60, 3600


def clock(moment: datetime | None) -> str:
    """Show a moment to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""


def precise(moment: datetime | None) -> str:
    """Show a moment to the millisecond, without its date."""
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}" if moment else ""


def took(start: datetime | None, end: datetime | None) -> str:
    """Show a length of time as people say it."""
    if not start or not end:
        return ""
    seconds = max(0.0, (end - start).total_seconds())
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def words(symbol: str | None) -> str:
    """Show `IN_PROGRESS` as `in progress`."""
    return (symbol or "").replace("_", " ").lower()


def breakable(name: str | None) -> Markup:
    """Let a long name of Nova's break where its words do."""
    return Markup("_<wbr>").join((name or "").split("_"))


_TEMPLATES.env.filters |= {"breakable": breakable, "clock": clock, "precise": precise, "iso": rfc3339, "words": words}
_TEMPLATES.env.globals |= {"took": took}


def page(request: Request, template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
    """Render a page."""
    return _TEMPLATES.TemplateResponse(request, template, values, status_code=status, headers=_HEADERS)


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks for a page, not a program for an answer."""
    path = request.url.path
    return not path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def render_error(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Answer a browser that asks for a page with a page of one sentence, everybody else with a problem."""
    if not wants_page(request):
        return problem(request, status, detail, headers)
    response = page(request, "error.html", status, title=HTTPStatus(status).phrase, detail=detail)
    response.headers.update(headers or {})
    return response
