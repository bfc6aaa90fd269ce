"""Routes that change data: states of problems, subscriptions. For admins on loopback only, like the whole API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from psycopg import Connection
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, Field

from stumble.alerts import subscriptions
from stumble.alerts.secret_cipher import SecretCipher
from stumble.api.problems import BadRequest, NotFound, documented
from stumble.settings.types import Duration, StorableText, Text, When
from stumble.store.queries import query

_FAR = datetime(9999, 1, 1, tzinfo=UTC)
#: How many actions, hosts and projects of a problem are named, each with the number of its failures.
_MOST_NAMED = 10


def _session(request: Request) -> Iterator[Connection[Any]]:
    """Yield a writing connection."""
    with request.app.state.writers.connection() as connection:
        yield connection


#: Returned before the response is sent: a client that reads slowly holds no connection.
Session = Annotated[Connection[Any], Depends(_session, scope="function")]
Fingerprint = Annotated[Text, Path()]
router = APIRouter(responses=documented(400, 503))


class ProblemNote(BaseModel):
    """A note on a problem, for other operators."""

    model_config = ConfigDict(extra="forbid")

    note: StorableText | None = Field(None, max_length=1000)


class ProblemMute(ProblemNote):
    """How long a problem fires no alert."""

    duration: Duration = Field(timedelta(hours=8), description="A duration such as 15m, 8h or 3d.", examples=["8h"])


class NewSubscription(BaseModel):
    """A new subscription."""

    model_config = ConfigDict(extra="forbid")

    url: StorableText = Field(max_length=2000)
    body: StorableText = Field(
        "standard", description="standard (Standard Webhooks) or alertmanager (webhook version 4)."
    )
    kinds: list[StorableText] = Field(
        ["failure"], description="failure, outcome; alert: a message when an alert fires and when it resolves."
    )
    match: dict[StorableText, list[StorableText] | StorableText] = Field(
        default_factory=dict, description="As in a rule's match; with the kind alert only exception, blame."
    )
    rules: list[StorableText] = Field([], description="Alerts of these rules only; wildcards: * and ?.", max_length=100)
    severities: list[StorableText] = Field([], description="Alerts of these severities only: info, warning, critical.")
    secret: StorableText | None = Field(
        None, max_length=200, description="whsec_…; if left out, the API creates one and shows it once."
    )


@router.get("/v1/problems", tags=["problems"], summary="Problems, newest first")
def get_problems(
    session: Session,
    state: Annotated[str | None, Query(pattern="^(NEW|ONGOING|REGRESSED|RESOLVED|MUTED)$")] = None,
    muted: Annotated[bool, Query(description="Include muted problems.")] = True,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[When | None, Query(description="Last seen before this time.")] = None,
) -> dict[str, Any]:
    """List problems with their counts of failures, servers, projects, hosts and actions."""
    wanted = {"state": state, "fingerprint": None, "muted": muted, "limit": limit, "before": "~"}
    cursor = session.cursor(row_factory=dict_row)
    return {"items": cursor.execute(query("load_problems"), {**wanted, "before_at": before or _FAR}).fetchall()}


@router.get("/v1/problems/{fingerprint}", tags=["problems"], summary="One problem", responses=documented(404))
def get_problem(session: Session, fingerprint: Fingerprint) -> dict[str, Any]:
    """Return one problem, and how its failures are distributed.

    `hours`: their number in each of the last 24 hours; `by_action`, `by_host`, `by_project`: the ten most frequent.
    """
    wanted = {"state": None, "fingerprint": fingerprint, "muted": True, "limit": 1, "before_at": _FAR, "before": "~"}
    row = session.cursor(row_factory=dict_row).execute(query("load_problems"), wanted).fetchone()
    if row is None:
        raise NotFound(f"There is no problem {fingerprint}.")
    counted = session.execute(query("count_problem_failures_by_hour"), {"fingerprint": fingerprint})
    by: dict[str, list[dict[str, Any]]] = {"by_action": [], "by_host": [], "by_project": []}
    parameters = {"fingerprint": fingerprint, "most": _MOST_NAMED}
    for attribute, value, failures in session.execute(query("count_problem_failures_by_attribute"), parameters):
        by[f"by_{attribute}"].append({"value": value, "failures": failures})
    return {**row, **by, "hours": [item[0] for item in counted]}


@router.post("/v1/problems/{fingerprint}/resolve", tags=["problems"], summary="Resolve", responses=documented(404))
def resolve_problem(session: Session, fingerprint: Fingerprint, note: ProblemNote | None = None) -> dict[str, Any]:
    """Mark a problem as resolved; a failure that happens later makes it regressed."""
    return _set_state(session, fingerprint, "RESOLVED", note)


@router.post("/v1/problems/{fingerprint}/reopen", tags=["problems"], summary="Reopen", responses=documented(404))
def reopen_problem(session: Session, fingerprint: Fingerprint, note: ProblemNote | None = None) -> dict[str, Any]:
    """Mark a problem as not resolved."""
    return _set_state(session, fingerprint, "OPEN", note)


@router.post("/v1/problems/{fingerprint}/mute", tags=["problems"], summary="Mute", responses=documented(404))
def mute_problem(session: Session, fingerprint: Fingerprint, mute: ProblemMute) -> dict[str, Any]:
    """Fire no alert about a problem for some time; its failures are still recorded and counted."""
    return _mute(session, fingerprint, datetime.now(UTC) + mute.duration, mute.note)


@router.post("/v1/problems/{fingerprint}/unmute", tags=["problems"], summary="Unmute", responses=documented(404))
def unmute_problem(session: Session, fingerprint: Fingerprint) -> dict[str, Any]:
    """Allow alerts about a problem again."""
    return _mute(session, fingerprint, None, None)


@router.get("/v1/alerts", tags=["alerts"], summary="Alerts")
def get_alerts(
    session: Session,
    all: Annotated[bool, Query(description="Include resolved alerts.")] = False,  # noqa: A002
) -> dict[str, Any]:
    """List firing alerts."""
    return {"items": session.cursor(row_factory=dict_row).execute(query("load_alerts"), {"all": all}).fetchall()}


@router.get("/v1/subscriptions", tags=["subscriptions"], summary="Subscriptions")
def get_subscriptions(session: Session) -> dict[str, Any]:
    """List subscriptions, without their secrets."""
    return {"items": [_public_fields(item) for item in subscriptions.read_all(session)]}


@router.post("/v1/subscriptions", tags=["subscriptions"], summary="Subscribe", status_code=201)
def add_subscription(request: Request, session: Session, new: NewSubscription) -> dict[str, Any]:
    """Add a subscription; only this response contains its secret."""
    try:
        secret = subscriptions.new_secret() if new.secret is None else new.secret
        made = subscriptions.add(
            session,
            _cipher(request),
            new.url,
            body=new.body,
            kinds=new.kinds,
            match=dict(new.match),
            rules=new.rules,
            severities=new.severities,
            secret=secret,
        )
    except subscriptions.SubscriptionError as error:
        raise BadRequest(str(error)) from error
    return {**_public_fields(made), "secret": secret}


@router.delete("/v1/subscriptions/{id}", tags=["subscriptions"], summary="Unsubscribe", responses=documented(404))
def remove_subscription(session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Remove a subscription and the log of its messages."""
    with _not_found_errors():
        subscriptions.remove(session, str(id))
    return {"removed": str(id)}


@router.post("/v1/subscriptions/{id}/test", tags=["subscriptions"], summary="Test", responses=documented(404))
def send_test(session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Send a test message; the log shows its result."""
    with _not_found_errors():
        return {"message_id": subscriptions.queue_test(session, str(id))}


@router.post("/v1/subscriptions/{id}/rotate", tags=["subscriptions"], summary="Rotate", responses=documented(404))
def rotate_secret(request: Request, session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Create a new secret; until the next rotation messages are signed with the old one too."""
    with _not_found_errors():
        return {"secret": subscriptions.rotate(session, _cipher(request), str(id))}


@router.post("/v1/subscriptions/{id}/enable", tags=["subscriptions"], summary="Enable", responses=documented(404))
def enable_subscription(session: Session, id: UUID) -> dict[str, Any]:  # noqa: A002
    """Enable a subscription that was disabled after its subscriber answered 410."""
    with _not_found_errors():
        subscriptions.enable(session, str(id))
        return _public_fields(subscriptions.read(session, str(id)))


@router.get("/v1/subscriptions/{id}/deliveries", tags=["subscriptions"], summary="Log", responses=documented(404))
def get_deliveries(
    session: Session,
    id: UUID,  # noqa: A002
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> dict[str, Any]:
    """List the newest messages with their results."""
    with _not_found_errors():
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
    with _not_found_errors():
        subscriptions.resend(session, str(id), str(message))
    return {"message_id": str(message)}


@contextmanager
def _not_found_errors() -> Iterator[None]:
    try:
        yield
    except subscriptions.SubscriptionError as error:
        raise NotFound(str(error)) from error


def _cipher(request: Request) -> SecretCipher:
    return SecretCipher.of(request.app.state.settings.subscription_keys)


def _set_state(session: Session, fingerprint: str, state: str, note: ProblemNote | None) -> dict[str, Any]:
    wanted = {"fingerprint": fingerprint, "state": state, "note": note.note if note else None}
    return _changed(session, fingerprint, session.execute(query("set_problem_state"), wanted).fetchone())


def _mute(session: Session, fingerprint: str, until: datetime | None, note: str | None) -> dict[str, Any]:
    wanted = {"fingerprint": fingerprint, "until": until, "note": note}
    return _changed(session, fingerprint, session.execute(query("mute_problem"), wanted).fetchone())


def _changed(session: Session, fingerprint: str, row: Any) -> dict[str, Any]:
    if row is None:
        raise NotFound(f"There is no problem {fingerprint}.")
    return get_problem(session, fingerprint)


def _public_fields(item: subscriptions.Subscription) -> dict[str, Any]:
    return {
        "id": item.id,
        "url": item.url,
        "body": item.body,
        "kinds": item.kinds,
        "match": item.match.model_dump(exclude_defaults=True),
        "rules": item.rules,
        "severities": item.severities,
        "secrets": len(item.encrypted_secrets),
        "created_at": item.created_at,
        "disabled_at": item.disabled_at,
        "disabled_reason": item.disabled_reason,
    }
