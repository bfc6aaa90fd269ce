"""What people change: problems' states, subscriptions. Loopback and admin only, as the whole API is for now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from psycopg import Connection
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, Field

from stumble.alerts import subscriptions
from stumble.api.host_guard import is_loopback
from stumble.api.problems import BadRequest, NotFound, documented
from stumble.settings.types import Duration, When
from stumble.store.queries import query

_FAR = datetime(9999, 1, 1, tzinfo=UTC)


def from_here(request: Request) -> None:
    """Refuse what another site's page sends through a visitor's browser."""
    origin = request.headers.get("origin")
    if origin and not is_loopback(urlsplit(origin).hostname or ""):
        raise BadRequest("This API takes changes from this machine's own pages and programs only.")


def _session(request: Request) -> Iterator[Connection[Any]]:
    """Lend a writing connection to who asks from here."""
    from_here(request)
    with request.app.state.writers.connection() as connection:
        yield connection


Session = Annotated[Connection[Any], Depends(_session)]
router = APIRouter(responses=documented(400, 503))


class ProblemNote(BaseModel):
    """A word for those who look at it next."""

    model_config = ConfigDict(extra="forbid")

    note: str | None = Field(None, max_length=1000)


class ProblemMute(ProblemNote):
    """For how long a problem pushes no alert."""

    duration: Duration = Field(timedelta(hours=8), description="15m, 8h, 3d.", examples=["8h"])


class NewSubscription(BaseModel):
    """A subscriber to be."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=2000)
    body: str = Field("standard", description="standard (Standard Webhooks) or alertmanager (webhook version 4).")
    kinds: list[str] = Field(
        ["failure"], description="failure, outcome; alert: told when an alert fires and when it is over."
    )
    match: dict[str, list[str] | str] = Field(
        default_factory=dict, description="As in a rule's match; with the kind alert by action, exception, blame."
    )
    rules: list[str] = Field([], description="Alerts of these rules only; patterns (* and ?) work.", max_length=100)
    severities: list[str] = Field([], description="Alerts of these severities only: info, warning, critical.")
    secret: str | None = Field(None, max_length=200, description="whsec_…; left out, one is made and told once.")


@router.get("/v1/problems", tags=["problems"], summary="Problems, newest first")
def get_problems(
    session: Session,
    state: Annotated[str | None, Query(pattern="^(NEW|ONGOING|REGRESSED|RESOLVED|MUTED)$")] = None,
    muted: Annotated[bool, Query(description="Muted ones too.")] = True,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[When | None, Query(description="Last seen before this.")] = None,
) -> dict[str, Any]:
    """List what goes wrong, with counts of failures, servers, projects and hosts."""
    wanted = {"state": state, "fingerprint": None, "muted": muted, "limit": limit, "before": "~"}
    cursor = session.cursor(row_factory=dict_row)
    return {"items": cursor.execute(query("load_problems"), {**wanted, "before_at": before or _FAR}).fetchall()}


@router.get("/v1/problems/{fingerprint}", tags=["problems"], summary="One problem", responses=documented(404))
def get_problem(session: Session, fingerprint: str) -> dict[str, Any]:
    """Tell of one problem, with its failures in each of the last 24 hours."""
    wanted = {"state": None, "fingerprint": fingerprint, "muted": True, "limit": 1, "before_at": _FAR, "before": "~"}
    row = session.cursor(row_factory=dict_row).execute(query("load_problems"), wanted).fetchone()
    if row is None:
        raise NotFound(f"No problem {fingerprint} has been seen.")
    counted = session.execute(query("count_problem_failures_by_hour"), {"fingerprint": fingerprint})
    return {**row, "hours": [item[0] for item in counted]}


@router.post("/v1/problems/{fingerprint}/resolve", tags=["problems"], summary="Resolve", responses=documented(404))
def resolve_problem(session: Session, fingerprint: str, note: ProblemNote | None = None) -> dict[str, Any]:
    """Say that a problem is solved; a failure that happens after this makes it regressed."""
    return _set_state(session, fingerprint, "RESOLVED", note)


@router.post("/v1/problems/{fingerprint}/reopen", tags=["problems"], summary="Reopen", responses=documented(404))
def reopen_problem(session: Session, fingerprint: str, note: ProblemNote | None = None) -> dict[str, Any]:
    """Say that a problem is not solved."""
    return _set_state(session, fingerprint, "OPEN", note)


@router.post("/v1/problems/{fingerprint}/mute", tags=["problems"], summary="Mute", responses=documented(404))
def mute_problem(session: Session, fingerprint: str, mute: ProblemMute) -> dict[str, Any]:
    """Push no alert about a problem for a while; it is recorded and counted as before."""
    return _mute(session, fingerprint, datetime.now(UTC) + mute.duration, mute.note)


@router.post("/v1/problems/{fingerprint}/unmute", tags=["problems"], summary="Unmute", responses=documented(404))
def unmute_problem(session: Session, fingerprint: str) -> dict[str, Any]:
    """Push alerts about a problem again."""
    return _mute(session, fingerprint, None, None)


@router.get("/v1/alerts", tags=["alerts"], summary="Alerts")
def get_alerts(session: Session, all: Annotated[bool, Query(description="Ended ones too.")] = False) -> dict[str, Any]:  # noqa: A002
    """List the alerts that fire."""
    return {"items": session.cursor(row_factory=dict_row).execute(query("load_alerts"), {"all": all}).fetchall()}


@router.get("/v1/subscriptions", tags=["subscriptions"], summary="Subscriptions")
def get_subscriptions(session: Session) -> dict[str, Any]:
    """List who is told over HTTP; secrets are not told again."""
    return {"items": [_shown(item) for item in subscriptions.read_all(session)]}


@router.post("/v1/subscriptions", tags=["subscriptions"], summary="Subscribe", status_code=201)
def add_subscription(session: Session, new: NewSubscription) -> dict[str, Any]:
    """Add a subscriber; the answer tells its secret, this once."""
    try:
        made = subscriptions.add(
            session,
            new.url,
            body=new.body,
            kinds=new.kinds,
            match=dict(new.match),
            rules=new.rules,
            severities=new.severities,
            secret=new.secret,
        )
    except subscriptions.SubscriptionError as error:
        raise BadRequest(str(error)) from error
    return {**_shown(made), "secret": made.secrets[0]}


@router.delete("/v1/subscriptions/{id}", tags=["subscriptions"], summary="Unsubscribe", responses=documented(404))
def remove_subscription(session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Remove a subscriber and its log."""
    with _found():
        subscriptions.remove(session, str(id))
    return {"removed": str(id)}


@router.post("/v1/subscriptions/{id}/test", tags=["subscriptions"], summary="Test", responses=documented(404))
def send_test(session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Send a test message; the log tells what became of it."""
    with _found():
        return {"message_id": subscriptions.queue_test(session, str(id))}


@router.post("/v1/subscriptions/{id}/rotate", tags=["subscriptions"], summary="Rotate", responses=documented(404))
def rotate_secret(session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Make a new secret; until the next rotation messages are signed with the old one too."""
    with _found():
        return {"secret": subscriptions.rotate(session, str(id))}


@router.post("/v1/subscriptions/{id}/enable", tags=["subscriptions"], summary="Enable", responses=documented(404))
def enable_subscription(session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Take up again a subscriber that had answered 410."""
    with _found():
        subscriptions.enable(session, str(id))
        return _shown(subscriptions.read(session, str(id)))


@router.get("/v1/subscriptions/{id}/deliveries", tags=["subscriptions"], summary="Log", responses=documented(404))
def get_deliveries(
    session: Session,
    id: UUID,  # noqa: A002
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> dict[str, Any]:
    """Tell what became of the newest messages."""
    with _found():
        subscriptions.read(session, str(id))
    cursor = session.cursor(row_factory=dict_row)
    return {"items": cursor.execute(query("load_deliveries"), {"id": id, "limit": limit}).fetchall()}


@router.post(
    "/v1/subscriptions/{id}/deliveries/{message}/resend",
    tags=["subscriptions"],
    summary="Send again",
    responses=documented(404),
)
def resend(session: Session, id: UUID, message: UUID) -> dict[str, Any]:  # noqa: A002
    """Send a message again, under its id."""
    with _found():
        subscriptions.resend(session, str(id), str(message))
    return {"message_id": str(message)}


@contextmanager
def _found() -> Iterator[None]:
    try:
        yield
    except subscriptions.SubscriptionError as error:
        raise NotFound(str(error)) from error


def _set_state(session: Session, fingerprint: str, state: str, note: ProblemNote | None) -> dict[str, Any]:
    wanted = {"fingerprint": fingerprint, "state": state, "note": note.note if note else None}
    return _changed(session, fingerprint, session.execute(query("set_problem_state"), wanted).fetchone())


def _mute(session: Session, fingerprint: str, until: datetime | None, note: str | None) -> dict[str, Any]:
    wanted = {"fingerprint": fingerprint, "until": until, "note": note}
    return _changed(session, fingerprint, session.execute(query("mute_problem"), wanted).fetchone())


def _changed(session: Session, fingerprint: str, row: Any) -> dict[str, Any]:
    if row is None:
        raise NotFound(f"No problem {fingerprint} has been seen.")
    return get_problem(session, fingerprint)


def _shown(item: subscriptions.Subscription) -> dict[str, Any]:
    return {
        "id": item.id,
        "url": item.url,
        "body": item.body,
        "kinds": item.kinds,
        "match": item.match.model_dump(exclude_defaults=True),
        "rules": item.rules,
        "severities": item.severities,
        "secrets": len(item.secrets),
        "created_at": item.created_at,
        "disabled_at": item.disabled_at,
        "disabled_reason": item.disabled_reason,
    }
