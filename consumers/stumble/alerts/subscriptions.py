"""Webhook subscriptions to failures, outcomes and alerts: stored in PostgreSQL, managed by API and command line."""

from __future__ import annotations

import base64
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from stumble.alerts.rules import SEVERITIES, RuleMatch, matches_pattern, unmatchable_fields
from stumble.alerts.secret_cipher import SECRET_PREFIX, SecretCipher, SecretCipherError
from stumble.runtime.error_texts import first_mistake, sentence_about
from stumble.store.json_rows import as_json
from stumble.store.queries import query
from stumble.wire.errors import StumbleError
from stumble.wire.ids import publication_event_id

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.publications import StoredPublication
    from stumble.alerts.state import AlertState

KINDS = ("failure", "outcome", "alert")
BODIES = ("standard", "alertmanager")
#: Fields that failures of one problem share (blame: unless producers of different releases run), to match alerts by.
_OF_ALERTS = ("exception", "blame")
_RULE = re.compile(r"[A-Za-z0-9_*?-]{1,64}")
_SECRET_BYTES = 32
#: While a secret is replaced, messages are signed with both.
_MOST_SECRETS = 2


class SubscriptionError(StumbleError):
    """A subscription is invalid or does not exist."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber."""

    id: str
    url: str
    body: str
    kinds: tuple[str, ...]
    match: RuleMatch
    rules: tuple[str, ...]
    severities: tuple[str, ...]
    encrypted_secrets: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None = None
    disabled_reason: str | None = None

    def wants(self, row: StoredPublication) -> bool:
        """Return whether a publication is for this subscriber."""
        return self.disabled_at is None and row.kind in self.kinds and self.match.fits(row.payload)

    def wants_alert(self, alert: AlertState) -> bool:
        """Return whether a firing alert is for this subscriber."""
        return (
            self.disabled_at is None
            and "alert" in self.kinds
            and (not self.severities or alert.severity in self.severities)
            and (not self.rules or any(matches_pattern(alert.rule, pattern) for pattern in self.rules))
            and self.match.fits(alert.last_payload)
        )


def new_secret() -> str:
    """Return a new secret in the format of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def add(
    connection: Connection[Any],
    cipher: SecretCipher,
    url: str,
    *,
    secret: str,
    body: str = "standard",
    kinds: Sequence[str] = ("failure",),
    match: dict[str, Any] | None = None,
    rules: Sequence[str] = (),
    severities: Sequence[str] = (),
) -> Subscription:
    """Add a subscriber and return it. Raises ``SubscriptionError``, and ``SecretCipherError`` without a key.

    `rules` (patterns) and `severities` select alerts; empty: all.
    """
    _check(url, body, kinds, secret)
    _check_alerts(kinds, match or {}, rules, severities)
    try:
        matched = RuleMatch.model_validate(match or {})
    except ValidationError as error:
        name, reason = first_mistake(error, RuleMatch.model_fields)
        raise SubscriptionError(sentence_about(f"match.{name}", reason)) from error
    for _, mistake in unmatchable_fields(matched):
        raise SubscriptionError(f"{mistake}.")
    made = str(uuid.uuid4())
    connection.execute(
        query("add_subscription"),
        {
            "id": made,
            "url": url,
            "body": body,
            "kinds": list(kinds),
            "match": matched.model_dump_json(exclude_defaults=True),
            "rules": list(rules),
            "severities": list(severities),
            "secrets": [cipher.encrypt(made, secret)],
        },
    )
    return read(connection, made)


def read(connection: Connection[Any], subscription_id: str) -> Subscription:
    """Return one subscriber. Raises ``SubscriptionError`` where there is none."""
    result = read_all(connection, subscription_id)
    if not result:
        raise SubscriptionError(f"There is no subscription {subscription_id}.")
    return result[0]


def read_all(connection: Connection[Any], subscription_id: str | None = None) -> list[Subscription]:
    """Return all subscribers, oldest first."""
    rows = connection.execute(query("load_subscriptions"), {"id": subscription_id})
    return [
        Subscription(
            row[0],
            row[1],
            row[2],
            tuple(row[3]),
            RuleMatch.model_validate(row[4]),
            tuple(row[5]),
            tuple(row[6]),
            tuple(row[7]),
            *row[8:],
        )
        for row in rows
    ]


def remove(connection: Connection[Any], subscription_id: str) -> None:
    """Remove a subscriber and the log of its messages. Raises ``SubscriptionError`` where there is none."""
    if connection.execute(query("remove_subscription"), {"id": subscription_id}).fetchone() is None:
        raise SubscriptionError(f"There is no subscription {subscription_id}.")


def enable(connection: Connection[Any], subscription_id: str) -> None:
    """Enable a subscriber that was disabled after it answered 410. Raises ``SubscriptionError`` where there is none."""
    if connection.execute(query("enable_subscription"), {"id": subscription_id}).fetchone() is None:
        raise SubscriptionError(f"There is no subscription {subscription_id}.")


def rotate(connection: Connection[Any], cipher: SecretCipher, subscription_id: str) -> str:
    """Return a new secret; until the next rotation messages are signed with the old one too, if it can be decrypted.

    Raises ``SubscriptionError``, and ``SecretCipherError`` without a key.
    """
    secret = new_secret()
    while True:
        known = read(connection, subscription_id)
        old = [stored for stored in known.encrypted_secrets if cipher.is_readable(known.id, stored)]
        if _replace_secrets(connection, known, [cipher.encrypt(known.id, secret), *old][:_MOST_SECRETS]):
            return secret


def encrypt_again(connection: Connection[Any], cipher: SecretCipher) -> tuple[int, list[str]]:
    """Encrypt all secrets with the newest key, also those in plain text.

    Returns the number of changed subscriptions, and the ids of those whose secrets cannot be decrypted. Raises
    ``SecretCipherError`` without a key.
    """
    cipher.require_key()
    changed, unreadable = 0, []
    for known in read_all(connection):
        if all(cipher.is_current(known.id, stored) for stored in known.encrypted_secrets):
            continue
        try:
            secrets = [cipher.encrypt_again(known.id, stored) for stored in known.encrypted_secrets]
        except SecretCipherError:
            unreadable.append(known.id)
        else:
            # If the API changes the secrets meanwhile, it encrypts them with its own newest key.
            changed += _replace_secrets(connection, known, secrets)
    return changed, unreadable


def _replace_secrets(connection: Connection[Any], known: Subscription, secrets: list[str]) -> bool:
    """Replace the secrets unless they have changed since they were read; return whether they were replaced."""
    given = {"id": known.id, "stored": list(known.encrypted_secrets), "secrets": secrets}
    return connection.execute(query("replace_subscription_secrets"), given).fetchone() is not None


def queue(connection: Connection[Any], subscribers: Sequence[Subscription], rows: Sequence[StoredPublication]) -> int:
    """Queue publications for subscribers, in the caller's transaction; return the number of messages."""
    wanted = [
        {
            "subscription_id": subscriber.id,
            "message_id": publication_event_id(row.subject_id, row.revision),
            "publication_id": row.id,
            "request_key": row.request_key,
        }
        for row in rows
        for subscriber in subscribers
        if subscriber.wants(row)
    ]
    if wanted:
        connection.execute(query("add_deliveries"), {"rows": as_json(wanted)})
    return len(wanted)


def queue_test(connection: Connection[Any], subscription_id: str) -> str:
    """Queue a test message for one subscriber and return its id. Raises ``SubscriptionError``."""
    message = str(uuid.uuid4())
    row = {"subscription_id": read(connection, subscription_id).id, "message_id": message}
    connection.execute(query("add_deliveries"), {"rows": as_json([row])})
    return message


def resend(connection: Connection[Any], subscription_id: str, message_id: str) -> None:
    """Queue a message again under its id. Raises ``SubscriptionError`` where there is none."""
    row = connection.execute(query("resend_delivery"), {"id": subscription_id, "message": message_id}).fetchone()
    if row is None:
        raise SubscriptionError(f"The subscription {subscription_id} has no message {message_id}.")


def _check(url: str, body: str, kinds: Sequence[str], secret: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise SubscriptionError(f"{url} is not a valid http or https URL: {error}.") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SubscriptionError(f"{url} is not a valid http or https URL.")
    if parts.username or parts.password:
        raise SubscriptionError(
            "The URL must not contain a user or password: messages are signed, check the signature."
        )
    if body not in BODIES:
        raise SubscriptionError(f"The body must be one of {', '.join(BODIES)}.")
    if not kinds or set(kinds) - set(KINDS):
        raise SubscriptionError(f"Kinds must be some of {', '.join(KINDS)}.")
    if not _is_secret(secret):
        raise SubscriptionError(
            "A secret must be whsec_ and the base64 of 24 to 64 random bytes; leave it out to get one."
        )


def _check_alerts(kinds: Sequence[str], match: dict[str, Any], rules: Sequence[str], severities: Sequence[str]) -> None:
    if "alert" not in kinds:
        if rules or severities:
            raise SubscriptionError("Rules and severities select alerts: add the kind alert.")
        return
    if unknown := set(severities) - set(SEVERITIES):
        raise SubscriptionError(f"{min(unknown)} is not a valid severity: use {', '.join(SEVERITIES)}.")
    if invalid := [rule for rule in rules if not _RULE.fullmatch(rule)]:
        raise SubscriptionError(f"{invalid[0]!r} is not a valid rule name: use letters, digits, _, -, * and ?.")
    if wrong := [name for name in match if name in RuleMatch.model_fields and name not in _OF_ALERTS]:
        raise SubscriptionError(
            f"match.{wrong[0]} cannot select alerts, which are about all failures of one problem: match alerts by "
            f"{', '.join(_OF_ALERTS)}, rule or severity, or add a separate subscription to alerts."
        )


def _is_secret(text: str) -> bool:
    """Return whether text is a secret in the format of Standard Webhooks (symmetric: 24 to 64 bytes)."""
    if not text.startswith(SECRET_PREFIX):
        return False
    try:
        return 24 <= len(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)) <= 64
    except ValueError:
        return False
