"""Errors as RFC 9457 problem details: one clear sentence each, never a traceback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from starlette.exceptions import HTTPException

from stumble.alerts.secret_cipher import SecretCipherError
from stumble.api.models import Problem
from stumble.deadletters.reader import KafkaUnavailableError
from stumble.deadletters.status import BusyError
from stumble.signatures.errors import PublicKeysUnusable
from stumble.store.connect import StoreUnavailableError
from stumble.store.rights import describe_store_error
from stumble.wire.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastapi import FastAPI, Request, Response

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
_TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Content too large",
    500: "Internal server error",
    503: "Service unavailable",
}


class NotFound(Exception):
    """The requested id is unknown."""


class BadRequest(Exception):
    """The request is invalid."""


class Unavailable(Exception):
    """A service that the response needs does not answer."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the problems that a route can answer with."""
    return {
        status: {
            "description": _TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


class ErrorRenderer(Protocol):
    """Makes the response to a request that failed."""

    def __call__(self, request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
        """Return the response: HTTP status, one sentence, further headers."""


def problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Answer with a problem."""
    # The path is taken from the scope: starlette's `request.url` raises ValueError for some `Host` headers.
    body = Problem(
        title=_TITLES.get(status, "Error"), status=status, detail=clean_text(detail), instance=request.scope["path"]
    )
    return JSONResponse(body.model_dump(), status, media_type=MEDIA_TYPE, headers=headers)


def explain(error: Exception) -> str:
    """Return a sentence about a database error."""
    match error:
        case psycopg.errors.InsufficientPrivilege() | psycopg.errors.ReadOnlySqlTransaction():
            return describe_store_error(error, "api")
        case StoreUnavailableError() if error.remedy:
            return str(error)
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn() | psycopg.errors.InvalidSchemaName():
            return (
                "The store's tables are not those of this version; run `stumble store migrate`, or upgrade stumble "
                "here if a newer one made them: /readyz and `stumble check database` say which."
            )
        case psycopg.errors.QueryCanceled():
            return "The store took too long to answer; ask for a shorter time range or fewer filters."
        case TooManyRequests():
            return "The API is busy; try again in a few seconds."
        case _:
            return "The database cannot be reached; the API answers again as soon as the database is available."


def install(app: FastAPI, render: ErrorRenderer = problem) -> None:
    """Answer every error of the app with a problem, or with what `render` returns."""

    async def unavailable(request: Request, error: Exception) -> Response:
        _log.warning("store unavailable: %s: %s", type(error).__name__, str(error).strip())
        return render(request, 503, explain(error), {"Retry-After": str(RETRY_SECONDS)})

    async def unusable(request: Request, error: Exception) -> Response:
        _log.warning("the store does not accept a value: %s: %s", type(error).__name__, str(error).strip())
        return render(request, 400, "A value in the request is not one that the store can hold or compare.")

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return render(request, 400, sentence(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = str(error.detail)
        if error.status_code == 404:
            detail = f"There is no {request.scope['path']}; see /docs for all paths."
        headers = dict(error.headers) if error.headers else None
        return render(request, error.status_code, detail, headers)

    for kind in (psycopg.OperationalError, psycopg.InterfaceError, psycopg.ProgrammingError):
        app.add_exception_handler(kind, unavailable)
    app.add_exception_handler(psycopg.DataError, unusable)
    for outage in (
        PoolTimeout,
        PoolClosed,
        TooManyRequests,
        StoreUnavailableError,
        psycopg.errors.ReadOnlySqlTransaction,
    ):
        app.add_exception_handler(outage, unavailable)
    for status, exception in (
        (404, NotFound),
        (400, BadRequest),
        (409, BusyError),
        (503, Unavailable),
        (503, KafkaUnavailableError),
        (503, PublicKeysUnusable),
        (503, SecretCipherError),
    ):
        app.add_exception_handler(exception, _answering(render, status))
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _answering(render: ErrorRenderer, status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return a handler that answers with the error's own message."""
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None

    async def answer(request: Request, error: Exception) -> Response:
        return render(request, status, str(error), headers)

    return answer


def sentence(errors: Sequence[Any]) -> str:
    """Return a sentence about the first mistake, with the name of its parameter."""
    first = errors[0]
    name = str(first["loc"][-1]) if first.get("loc") else "request"
    if len(first.get("loc", ())) > 2 and isinstance(first["loc"][-1], int):
        name = str(first["loc"][1])
    match first["type"]:
        case "extra_forbidden":
            return f"There is no parameter {name}; see /docs for all parameters."
        case "missing":
            return f"The parameter {name} is required."
        case "uuid_parsing":
            return f"{name}: {str(first['input'])!r} is not a valid uuid."
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{name}: {message}."
