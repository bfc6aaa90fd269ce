"""Webhooks by the Standard Webhooks specification: signed, tried again by its schedule, one id at every try.

Source: standard-webhooks.md (signature scheme, delivery, retries, status codes).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from stumble.consumers.alerts.feed import Row
from stumble.consumers.alerts.receivers.body import body_of
from stumble.consumers.alerts.receivers.guard import ForbiddenAddressError, resolve
from stumble.consumers.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.consumers.alerts.settings import AlertSettings

#: Seconds until the next try, after each: 75 hours in all.
SCHEDULE = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_AT_ONCE = 8
_BATCH = 64
_TIMEOUT_S = 20.0
_GONE = 410
_SLOW_DOWN = frozenset({429, 502, 503, 504})
_LONGEST_RETRY_AFTER = 86_400.0


class Due(NamedTuple):
    """One message that is to be sent now."""

    subscription_id: str
    message_id: str
    attempts: int
    url: str
    body: str
    secrets: Sequence[str]
    created_at: datetime
    row: Row | None


class Answer(NamedTuple):
    """What became of one try."""

    status: int | None
    error: str | None = None
    wait: float = 0.0


class Webhooks:
    """Sends what is due, several at once: one that is slow holds up only itself and its batch."""

    def __init__(self, settings: AlertSettings, client: httpx.Client | None = None) -> None:
        self._networks = settings.webhook_networks
        self._client = client or httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="webhook")

    def send(self, connection: Connection[Any]) -> int:
        """Send what is due and note what became of it; returns how many were tried."""
        rows = connection.execute(query("due_deliveries"), {"limit": _BATCH}).fetchall()
        due = [Due._make((*row[:7], Row._make(row[7:]) if row[7] is not None else None)) for row in rows]
        for item, answer in zip(due, self._pool.map(self._try, due), strict=True):
            self._note(connection, item, answer)
        return len(due)

    def close(self) -> None:
        """End the threads and the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _try(self, item: Due) -> Answer:
        now = datetime.now(UTC)
        body = body_of(item.body, item.row, item.subscription_id, item.created_at)
        headers = signed(item.message_id, now, body, item.secrets)
        try:
            url, name = resolve(item.url, self._networks)
            headers["host"] = urlsplit(item.url).netloc
            answer = self._client.post(url, content=body, headers=headers, extensions={"sni_hostname": name})
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ForbiddenAddressError) as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:500])
        if answer.is_success:
            return Answer(answer.status_code)
        return Answer(answer.status_code, answer.text[:500] or answer.reason_phrase, retry_after(answer, now))

    def _note(self, connection: Connection[Any], item: Due, answer: Answer) -> None:
        done = answer.status is not None and 200 <= answer.status < 300
        last = item.attempts >= len(SCHEDULE)
        scheduled = 0.0 if done or last else SCHEDULE[item.attempts] * random.uniform(1.0, 1.1)  # noqa: S311
        connection.execute(
            query("note_delivery"),
            {
                "subscription": item.subscription_id,
                "message": item.message_id,
                "status": answer.status,
                "error": answer.error,
                "done": done,
                "give_up": not done and (last or answer.status == _GONE),
                "wait": max(scheduled, answer.wait),
            },
        )
        if answer.status == _GONE:
            reason = "it answered 410: it wants no more messages"
            connection.execute(query("disable_subscription"), {"id": item.subscription_id, "reason": reason})


def signed(message_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message, signed with every secret that holds."""
    return {
        "content-type": "application/json",
        "user-agent": "stumble",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body.decode()) for secret in secrets),
    }


def retry_after(answer: httpx.Response, now: datetime) -> float:
    """Return the seconds that a receiver asks for, at most a day; 0 where it doesn't."""
    text = answer.headers.get("retry-after")
    if answer.status_code not in _SLOW_DOWN or not text:
        return 0.0
    try:
        wait = float(text) if text.isdigit() else (parsedate_to_datetime(text) - now).total_seconds()
    except ValueError:
        return 0.0
    return min(max(wait, 0.0), _LONGEST_RETRY_AFTER)
