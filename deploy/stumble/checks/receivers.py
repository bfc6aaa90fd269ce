"""Check the alert rules and the receivers of alerts."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from urllib.parse import urlsplit

import httpx
import psycopg

from stumble.alerts import subscriptions
from stumble.alerts.receivers.guard import ForbiddenAddressError, resolve_address
from stumble.alerts.rules import RulesError, load_rules, matches_pattern
from stumble.alerts.secret_cipher import SECRET_PREFIX, SecretCipher, SecretCipherError
from stumble.alerts.settings import AlertSettings
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.checks.store import open_session
from stumble.runtime.http_client import HttpClient
from stumble.settings.urls import split_user

__all__ = ["check_receivers", "check_rules"]

_SECONDS = 4.0
_ANSWER_BYTES = 1 << 20
_MOST_CONNECTIONS = 32


def check_rules(scope: CheckContext) -> Iterator[CheckResult]:
    """Report every error in the rules in force."""
    del scope
    settings = AlertSettings()
    name = str(settings.rules or "built-in rules")
    try:
        book = load_rules(settings.rules)
    except RulesError as error:
        yield wrong(name, " ".join(str(error).split()).removesuffix("."), "stumble alerts check")
        return
    for text in book.warnings(alertmanager=bool(settings.alertmanagers)):
        yield warning(name, text, "see docs/alerts.md")
    yield fine(name, f"{sum(rule.enabled for rule in book.rule)} rules in force")


def check_receivers(scope: CheckContext) -> Iterator[CheckResult]:
    """Query each Alertmanager, and connect to the address of each webhook."""
    settings = AlertSettings()
    yield from _alertmanagers(settings)
    if not scope.names_database:
        yield skipped("webhooks", "they are stored in the database, and no database is configured here")
        return
    try:
        with open_session(scope) as connection:
            known = subscriptions.read_all(connection)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        yield skipped("webhooks", "there is no store yet", "stumble store migrate")
        return
    if known:
        yield from _secrets(known, SecretCipher.of(scope.settings.subscription_keys))
    with ThreadPoolExecutor(_MOST_CONNECTIONS) as pool:
        yield from pool.map(_webhook, known, repeat(settings))
    yield from _unmatched_subscriptions(known, settings)


def _alertmanagers(settings: AlertSettings) -> Iterator[CheckResult]:
    if not settings.alertmanagers:
        yield skipped("Alertmanager", "none is configured", "STUMBLE_ALERTS_ALERTMANAGERS names all replicas")
    problems = {url: _problem_of(url) for url in settings.alertmanagers}
    for url, problem in problems.items():
        name, _ = split_user(url)
        if problem is None:
            yield fine(name, "ready")
        elif all(problems.values()):
            yield wrong(name, problem, "start it, or correct STUMBLE_ALERTS_ALERTMANAGERS; alerts wait until then")
        else:
            yield warning(name, problem, "start it again; the other replicas receive the alerts")


def _problem_of(url: str) -> str | None:
    try:
        address, user = split_user(url.rstrip("/"))
        with closing(HttpClient(seconds=_SECONDS, max_bytes=_ANSWER_BYTES, auth=user)) as client:
            answer = client.request("GET", f"{address}/api/v2/status")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"does not answer: {error or type(error).__name__}"
    if answer.is_error:
        return f"answers {answer.status_code}"
    return None if "versionInfo" in answer.text else "the server that answers is not an Alertmanager"


def _webhook(item: subscriptions.Subscription, settings: AlertSettings) -> CheckResult:
    parts = urlsplit(item.url)
    name = f"webhook {parts.scheme}://{parts.hostname}"  # paths of hooks are often secrets
    if item.disabled_at is not None:
        todo = f"stumble subscriptions enable {item.id}, or stumble subscriptions rm {item.id}"
        return warning(name, f"disabled since {item.disabled_at:%Y-%m-%d %H:%M}: {item.disabled_reason}", todo)
    try:
        address, host = resolve_address(item.url, settings.webhook_networks)
        _connect(address, host)
    except ForbiddenAddressError as error:
        return wrong(name, str(error).partition(": ")[0], "add its network to STUMBLE_ALERTS_WEBHOOK_NETWORKS")
    except OSError as error:
        todo = f"stumble subscriptions log {item.id}; the alerter sends its messages again for days"
        return wrong(name, f"cannot connect: {error}", todo)
    return fine(name, "accepts connections")


def _secrets(known: Sequence[subscriptions.Subscription], cipher: SecretCipher) -> Iterator[CheckResult]:
    """Report subscriptions whose secrets are in plain text, cannot be decrypted, or have an old key."""
    name = "subscription secrets"
    stored = [(item.id, text) for item in known for text in item.encrypted_secrets]
    plain = {owner for owner, text in stored if text.startswith(SECRET_PREFIX)}
    try:
        cipher.require_key()
    except SecretCipherError:
        todo = "set STUMBLE_SUBSCRIPTION_KEYS, or add the file subscription_keys to the secrets directory"
        yield wrong(name, "no key that decrypts them is configured here", todo)
        return
    unreadable = {owner for owner, text in stored if not cipher.is_readable(owner, text)} - plain
    old = {owner for owner, text in stored if not cipher.is_current(owner, text)} - plain - unreadable
    if plain:
        todo = "stumble subscriptions encrypt-again"
        yield wrong(name, f"{len(plain)} subscriptions have secrets in plain text in the database", todo)
    if unreadable:
        todo = "add the key that encrypted them to STUMBLE_SUBSCRIPTION_KEYS, or run stumble subscriptions rotate ID"
        yield wrong(name, f"the configured keys decrypt none of {', '.join(sorted(unreadable))}", todo)
    if old:
        todo = "stumble subscriptions encrypt-again"
        yield warning(name, f"{len(old)} subscriptions have secrets that an old key encrypts", todo)
    if not plain | unreadable | old:
        yield fine(name, "encrypted with the newest key")


def _unmatched_subscriptions(
    known: Sequence[subscriptions.Subscription], settings: AlertSettings
) -> Iterator[CheckResult]:
    """Report subscriptions to alerts that no rule in force can raise."""
    try:
        names = [rule.name for rule in load_rules(settings.rules).rule if rule.enabled]
    except RulesError:
        return  # the check `alert-rules` reports it
    for item in known:
        if item.rules and not any(matches_pattern(name, pattern) for name in names for pattern in item.rules):
            text = f"the subscription {item.id} waits for alerts of {', '.join(item.rules)}: no such rule is in force"
            yield warning("webhooks", text, f"correct the rules, or stumble subscriptions rm {item.id}")


def _connect(address: str, host: str) -> None:
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname or "", parts.port or 443), _SECONDS) as link:
        if parts.scheme == "https":
            ssl.create_default_context().wrap_socket(link, server_hostname=host).close()
