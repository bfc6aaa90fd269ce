"""Checks the received webhooks: each failure, and each alert when it fired and when it was resolved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from stumble.alerts.rules import RuleTrigger, load_rules
from stumble.alerts.state import problem_of
from stumble.wire.ids import alert_event_id, publication_event_id
from tests.chaos.database import Loss
from tests.chaos.subscribing import is_lost

RULES = Path(__file__).with_name("rules.toml")
#: The path of each kind of message.
FAILURES, ALERTS = "/hook", "/alerts"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ACCEPTED = 204


class Alert(NamedTuple):
    """The last state of one rule and one problem in the store."""

    rule: str
    problem: str
    state: str
    starts_at: datetime
    ends_at: datetime | None


class AlertMessage(NamedTuple):
    """The fields of one message about an alert."""

    rule: str
    problem: str
    starts_at: datetime
    status: str
    ends_at: datetime | None


def check_signatures(posts: Iterable[dict[str, Any]], secret: str) -> list[str]:
    """Return the posts with a wrong signature, and the ids that were sent with different bodies."""
    hook, bodies, wrong = Webhook(secret), dict[str, str](), []
    for post in posts:
        headers, body = post["headers"], post["body"]
        message = headers["webhook-id"]
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        if headers["webhook-signature"] != hook.sign(message, at, body):
            wrong.append(f"wrong signature: {message}")
        if bodies.setdefault(message, body) != body:
            wrong.append(f"another body in another attempt: {message}")
    return wrong


def check_failures(
    posts: list[dict[str, Any]], secret: str, published: set[tuple[str, int]], losses: Sequence[Loss] = ()
) -> list[str]:
    """Return the errors: each published revision of a failure must be accepted at least once, under its one id.

    What was accepted while the store committed what it has lost must be accepted again; revisions that it has lost may
    have been accepted.
    """
    wrong = check_signatures(posts, secret)
    accepted, recorded = set[tuple[str, int]](), set[tuple[str, int]]()
    for post in posts:
        data = json.loads(post["body"])["data"]
        if post["headers"]["webhook-id"] != publication_event_id(data["failure_id"], data["revision"]):
            wrong.append(f"wrong id: {post['headers']['webhook-id']}")
        if post["status"] == ACCEPTED:
            accepted.add((data["failure_id"], data["revision"]))
            if not any(loss.has_committed(post["at"]) for loss in losses):
                recorded.add((data["failure_id"], data["revision"]))
    wrong += [f"never delivered: {one}" for one in sorted(published - recorded)]
    lost = {one for one in accepted - published if is_lost(one, losses)}
    return wrong + [f"never published: {one}" for one in sorted(accepted - published - lost)]


def check_alerts(
    posts: list[dict[str, Any]],
    secret: str,
    alerts: Iterable[Alert],
    expected_alerts: set[tuple[str, str]],
    losses: Sequence[Loss] = (),
) -> list[str]:
    """Return the errors: for each alert a firing message, then a resolved one unless it still fires, under one id each.

    `alerts`: those of the store; `expected_alerts`: rules and problems for which an alert must have fired. The store
    may have lost a start or an end: messages about it are ignored, but for those about the last ones in the store.
    """
    stored = {(one.rule, one.problem): one for one in alerts}
    messages = [parse_message(post["body"]) for post in posts]
    starts = {one[:3] for one in messages if _is_lost(one, losses)}
    starts -= {(one.rule, one.problem, one.starts_at) for one in stored.values()}
    pairs = [
        (one, post)
        for one, post in zip(messages, posts, strict=True)
        if one[:3] not in starts
        and not (_is_lost(one, losses) and one.status == "resolved" and _last_end(stored, one) != one.ends_at)
    ]
    wrong, first = check_signatures((post for _, post in pairs), secret), dict[AlertMessage, int]()
    for number, (message, post) in enumerate(pairs):
        if post["headers"]["webhook-id"] != _id(message):
            wrong.append(f"wrong id: {post['headers']['webhook-id']}")
        if post["status"] == ACCEPTED and not any(loss.has_committed(post["at"]) for loss in losses):
            first.setdefault(message, number)
    wrong += [f"never fired: {one}" for one in sorted(expected_alerts - stored.keys())]
    received = {
        key: list(each) for key, each in groupby(sorted(first, key=lambda one: one[:4]), key=lambda one: one[:2])
    }
    wrong += [f"received, but not in the store: {key}" for key in sorted(received.keys() - stored.keys())]
    for key, last in stored.items():
        wrong += [f"{key}: {error}" for error in check_history(received.get(key, []), first, last)]
    statuses = {message.status for message in first}
    return wrong + [f"no alert is {status}" for status in sorted({"firing", "resolved"} - statuses)]


def _is_lost(message: AlertMessage, losses: Sequence[Loss]) -> bool:
    """Return whether the store may have lost the start or the end that a message is about."""
    times = [one.timestamp() for one in (message.starts_at, message.ends_at) if one is not None]
    return any(loss.has_begun(at) for loss in losses for at in times)


def _last_end(stored: dict[tuple[str, str], Alert], message: AlertMessage) -> datetime | None:
    last = stored.get((message.rule, message.problem))
    return last.ends_at if last is not None else None


def check_history(messages: list[AlertMessage], order: dict[AlertMessage, int], last: Alert) -> list[str]:
    """Return the errors of the successive alerts of one rule and one problem."""
    wrong = []
    times = sorted({one.starts_at for one in messages} | {last.starts_at})
    if times[-1] != last.starts_at:
        wrong.append(f"received start {times[-1]}, the store has {last.starts_at}")
    for begin in times:
        is_resolved = begin != last.starts_at or last.state == "RESOLVED"
        each = {one.status: one for one in messages if one.starts_at == begin}
        expected = {"firing", "resolved"} if is_resolved else {"firing"}
        if each.keys() != expected:
            wrong.append(f"start {begin}: received {sorted(each)}, not {sorted(expected)}")
        elif is_resolved and order[each["firing"]] > order[each["resolved"]]:
            wrong.append(f"start {begin}: resolved was received before firing")
        elif is_resolved and begin == last.starts_at and each["resolved"].ends_at != last.ends_at:
            wrong.append(f"received end {each['resolved'].ends_at}, not {last.ends_at}")
    return wrong


def required_alerts(publications: Iterable[tuple[str, dict[str, Any]]]) -> set[tuple[str, str]]:
    """Return the rules and problems for which, by the publications, an alert must have fired.

    `publications`: kind and payload of the first revisions of failures and of all revisions of outcomes. Rules on
    `spread` depend on times of arrival, so they are left out.
    """
    rules = [rule for rule in load_rules(RULES).rule if rule.on is not RuleTrigger.SPREAD]
    return {
        (rule.name, payload["fingerprint"] if kind == "failure" else problem_of(payload))
        for kind, payload in publications
        for rule in rules
        if (rule.matches_outcome(payload) if kind == "outcome" else not rule.outcomes and rule.match.fits(payload))
    }


def parse_message(body: str) -> AlertMessage:
    data = json.loads(body)["data"]
    ends = datetime.fromisoformat(data["endsAt"]) if data["endsAt"] else None
    return AlertMessage(data["rule"], data["problem"], datetime.fromisoformat(data["startsAt"]), data["status"], ends)


def _id(message: AlertMessage) -> str:
    return alert_event_id(
        message.rule, message.problem, (message.starts_at - _EPOCH) // timedelta(microseconds=1), message.status
    )
