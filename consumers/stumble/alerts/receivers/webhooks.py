"""Sends webhooks as Standard Webhooks specifies: signed, retried by its schedule, with the same id at every attempt.

Source: standard-webhooks.md (signature scheme, delivery, retries, status codes).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

from stumble.alerts.publications import StoredPublication
from stumble.alerts.receivers.body import body_of
from stumble.alerts.receivers.guard import resolve_address
from stumble.alerts.secret_cipher import SecretCipher
from stumble.metrics import definitions as d
from stumble.runtime.http_client import HttpClient
from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.settings import AlertSettings
    from stumble.metrics.process import ProcessMetrics

#: Seconds from each attempt to the next: 75 hours in total.
SCHEDULE = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Seconds for one attempt: connection, TLS, request and answer, less what name resolution took.
TIMEOUT_SECONDS = 20.0
_LEAST_SECONDS = 1.0
#: Messages in flight at the same time to one subscriber. From _MANY_IN_FLIGHT to all subscribers on, each gets one at a
#: time, so that no number of slow subscribers delays another.
_MOST_TO_ONE = 8
_MANY_IN_FLIGHT = 64
#: Threads are made as needed: one for each slow subscriber, and those for the others.
_MOST_THREADS = 2000
_WAIT_S = 0.05
_ANSWER_BYTES = 2000
_ANSWER_CHARACTERS = 500
_GONE = 410
_SLOW_DOWN = frozenset({429, 502, 503, 504})
_LONGEST_RETRY_AFTER = 86_400.0


class DueDelivery(NamedTuple):
    """One message that is due."""

    subscription_id: str
    message_id: str
    attempts: int
    url: str
    body: str
    encrypted_secrets: Sequence[str]
    created_at: datetime
    #: A publication, or the content of an alert's message; None: a test.
    about: StoredPublication | dict[str, Any] | None


class WebhookResponse(NamedTuple):
    """The result of one attempt, which took `seconds`."""

    status: int | None
    error: str | None = None
    wait: float = 0.0
    seconds: float = 0.0


class Webhooks:
    """Sends due messages in parallel: a subscriber that is slow or hangs delays only its own messages."""

    def __init__(
        self,
        settings: AlertSettings,
        metrics: ProcessMetrics,
        cipher: SecretCipher,
        *,
        schedule: Sequence[float] = SCHEDULE,
        timeout_seconds: float = TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._networks = settings.webhook_networks
        self._schedule = schedule
        self._timeout_seconds = timeout_seconds
        self._client = HttpClient(
            seconds=timeout_seconds, max_bytes=_ANSWER_BYTES, trust_env=False, transport=transport
        )
        self._pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="webhook")
        self._metrics = metrics
        self._cipher = cipher
        self._in_flight: dict[tuple[str, str], tuple[DueDelivery, Future[WebhookResponse]]] = {}
        #: Subscribers that answered the last attempt, with any status; the others get one attempt at a time.
        self._answering: set[str] = set()

    def send(self, connection: Connection[Any]) -> int:
        """Start due messages and record finished ones; return how many are in flight or were recorded."""
        self._start(connection)
        if not self._in_flight:
            return 0
        wait([future for _, future in self._in_flight.values()], _WAIT_S, FIRST_COMPLETED)
        finished = [key for key, (_, future) in self._in_flight.items() if future.done()]
        with connection.transaction():
            # If a crash of the database loses a record, the message is sent once more under the same id; a wait for the
            # disk would delay every message.
            connection.execute("set local synchronous_commit = off")
            for item, future in map(self._in_flight.__getitem__, finished):
                self._record(connection, item, future.result())
        for key in finished:  # after the commit: results that were not recorded are recorded by the next call
            del self._in_flight[key]
        return len(finished) + len(self._in_flight)

    def _start(self, connection: Connection[Any]) -> None:
        counts = Counter(subscription for subscription, _ in self._in_flight)
        wanted = {
            "each": _MOST_TO_ONE,
            "busy": [subscription for subscription, count in counts.items() if count >= self._most_to(subscription)],
        }
        # Planned at each execution: a plan for a short queue would read the whole of a long one.
        rows = connection.execute(query("load_due_deliveries"), wanted, prepare=False).fetchall()
        for row in rows:
            item = DueDelivery._make(
                (*row[:7], row[7] or (StoredPublication._make(row[8:]) if row[8] is not None else None))
            )
            key = (item.subscription_id, item.message_id)
            if key not in self._in_flight and counts[item.subscription_id] < self._most_to(item.subscription_id):
                self._in_flight[key] = (item, self._pool.submit(self._try, item))
                counts[item.subscription_id] += 1

    def _most_to(self, subscription_id: str) -> int:
        """Return how many messages to a subscriber may be in flight."""
        several = subscription_id in self._answering and len(self._in_flight) < _MANY_IN_FLIGHT
        return _MOST_TO_ONE if several else 1

    def close(self) -> None:
        """End the threads and the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _try(self, item: DueDelivery) -> WebhookResponse:
        began = time.monotonic()
        try:
            answer = self._post(item)
        except StumbleError as error:
            answer = WebhookResponse(None, str(error))
        except Exception as error:  # noqa: BLE001 - nothing about one subscriber may stop the others
            answer = WebhookResponse(None, _clean(f"{type(error).__name__}: {error}"))
        return answer._replace(seconds=time.monotonic() - began)

    def _post(self, item: DueDelivery) -> WebhookResponse:
        now = datetime.now(UTC)
        body = body_of(item.body, item.about, item.subscription_id, item.created_at)
        secrets = [self._cipher.decrypt(item.subscription_id, stored) for stored in item.encrypted_secrets]
        headers = signed_headers(item.message_id, now, body, secrets)
        began = time.monotonic()
        url, name = resolve_address(item.url, self._networks)
        headers["host"] = urlsplit(item.url).netloc
        answer = self._client.request(
            "POST",
            url,
            seconds=max(_LEAST_SECONDS, self._timeout_seconds - (time.monotonic() - began)),
            whole=False,  # the status is the answer; the body only explains it
            content=body,
            headers=headers,
            extensions={"sni_hostname": name},
        )
        if answer.is_success:
            return WebhookResponse(answer.status_code)
        text = _clean(answer.content.decode(errors="replace"))
        return WebhookResponse(answer.status_code, text or answer.reason_phrase, retry_after(answer, now))

    def _record(self, connection: Connection[Any], item: DueDelivery, answer: WebhookResponse) -> None:
        (self._answering.discard if answer.status is None else self._answering.add)(item.subscription_id)
        done = answer.status is not None and 200 <= answer.status < 300
        last = item.attempts >= len(self._schedule)
        give_up = not done and (last or answer.status == _GONE)
        result = "delivered" if done else "given_up" if give_up else "failed"
        self._metrics.counter(d.WEBHOOK_ATTEMPTS).labels(result).inc()
        self._metrics.histogram(d.WEBHOOK_ATTEMPT_SECONDS).observe(answer.seconds)
        scheduled = 0.0 if done or last else self._schedule[item.attempts] * random.uniform(1.0, 1.1)  # noqa: S311
        connection.execute(
            query("record_delivery_attempt"),
            {
                "subscription": item.subscription_id,
                "message": item.message_id,
                "status": answer.status,
                "error": answer.error,
                "done": done,
                "give_up": give_up,
                "wait": max(scheduled, answer.wait),
            },
        )
        if answer.status == _GONE:
            reason = "it answered 410: it accepts no more messages"
            connection.execute(query("disable_subscription"), {"id": item.subscription_id, "reason": reason})


def signed_headers(message_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message, signed with every valid secret."""
    return {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "stumble",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, body.decode()) for secret in secrets),
    }


def retry_after(answer: httpx.Response, now: datetime) -> float:
    """Return the seconds that a receiver asks to wait, at most a day; 0 if it does not ask."""
    text = answer.headers.get("retry-after")
    if answer.status_code not in _SLOW_DOWN or not text:
        return 0.0
    try:
        seconds = float(text) if text.isdigit() else (_parse_date(text) - now).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _parse_date(text: str) -> datetime:
    result = parsedate_to_datetime(text)
    return result if result.tzinfo else result.replace(tzinfo=UTC)  # dates with "-0000" or without a zone have none


def _clean(text: str) -> str:
    """Return text that PostgreSQL accepts, shortened."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").strip()[:_ANSWER_CHARACTERS]
