"""Judges what subscribers were told by webhook: each failure, each alert when it fired and when it was over."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from stumble.alerts.rules import RuleTrigger, load_rules
from stumble.alerts.state import problem_of
from stumble.wire.ids import alert_event_id, publication_event_id

RULES = Path(__file__).with_name("rules.toml")
#: Where each kind of message is posted to.
FAILURES, ALERTS = "/hook", "/alerts"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TAKEN = 204


class Alert(NamedTuple):
    """The last state of one rule and one problem, as the store has it."""

    rule: str
    problem: str
    state: str
    starts_at: datetime
    ends_at: datetime | None


class Told(NamedTuple):
    """What one message said of an alert."""

    rule: str
    problem: str
    starts_at: datetime
    status: str
    ends_at: datetime | None


def forged(posts: Iterable[dict[str, Any]], secret: str) -> list[str]:
    """Say which posts are wrongly signed, and which ids came with different bodies."""
    hook, bodies, wrong = Webhook(secret), dict[str, str](), []
    for post in posts:
        headers, body = post["headers"], post["body"]
        message = headers["webhook-id"]
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        if headers["webhook-signature"] != hook.sign(message, at, body):
            wrong.append(f"wrong signature: {message}")
        if bodies.setdefault(message, body) != body:
            wrong.append(f"another body at another try: {message}")
    return wrong


def judge_failures(posts: list[dict[str, Any]], secret: str, published: set[tuple[str, int]]) -> list[str]:
    """Say what is wrong: every published revision of a failure is to be taken at least once, under its one id."""
    wrong, taken = forged(posts, secret), set()
    for post in posts:
        data = json.loads(post["body"])["data"]
        if post["headers"]["webhook-id"] != publication_event_id(data["failure_id"], data["revision"]):
            wrong.append(f"wrong id: {post['headers']['webhook-id']}")
        if post["status"] == TAKEN:
            taken.add((data["failure_id"], data["revision"]))
    wrong += [f"never delivered: {one}" for one in sorted(published - taken)]
    return wrong + [f"never published: {one}" for one in sorted(taken - published)]


def judge_alerts(
    posts: list[dict[str, Any]], secret: str, alerts: Iterable[Alert], wanted: set[tuple[str, str]]
) -> list[str]:
    """Say what is wrong: every alert that fired is told to fire, then to be over or fires still, each under one id.

    `alerts`: the store's; `wanted`: rules and problems of which some alert must have fired.
    """
    wrong, first = forged(posts, secret), dict[Told, int]()
    for number, post in enumerate(posts):
        told = _told(post["body"])
        if post["headers"]["webhook-id"] != _id(told):
            wrong.append(f"wrong id: {post['headers']['webhook-id']}")
        if post["status"] == TAKEN:
            first.setdefault(told, number)
    stored = {(one.rule, one.problem): one for one in alerts}
    wrong += [f"never fired: {one}" for one in sorted(wanted - stored.keys())]
    heard = {
        place: list(each) for place, each in groupby(sorted(first, key=lambda one: one[:4]), key=lambda one: one[:2])
    }
    wrong += [f"told, and not in the store: {place}" for place in sorted(heard.keys() - stored.keys())]
    for place, last in stored.items():
        wrong += [f"{place}: {said}" for said in _history(heard.get(place, []), first, last)]
    statuses = {told.status for told in first}
    return wrong + [f"no alert is {status}" for status in sorted({"firing", "resolved"} - statuses)]


def _history(told: list[Told], order: dict[Told, int], last: Alert) -> list[str]:
    """Say what is wrong about the alerts of one rule and one problem, one after the other."""
    wrong = []
    times = sorted({one.starts_at for one in told} | {last.starts_at})
    if times[-1] != last.starts_at:
        wrong.append(f"told to begin at {times[-1]}, the store knows of {last.starts_at}")
    for begin in times:
        over = begin != last.starts_at or last.state == "RESOLVED"
        each = {one.status: one for one in told if one.starts_at == begin}
        expected = {"firing", "resolved"} if over else {"firing"}
        if each.keys() != expected:
            wrong.append(f"began at {begin}: told {sorted(each)}, not {sorted(expected)}")
        elif over and order[each["firing"]] > order[each["resolved"]]:
            wrong.append(f"began at {begin}: its end was told before its beginning")
        elif over and begin == last.starts_at and each["resolved"].ends_at != last.ends_at:
            wrong.append(f"told to end at {each['resolved'].ends_at}, not at {last.ends_at}")
    return wrong


def wanted_alerts(publications: Iterable[tuple[str, dict[str, Any]]]) -> set[tuple[str, str]]:
    """Return the rules and problems that an alert must have fired of, told from what was published alone.

    `publications`: kind and payload of first revisions of failures and of all of outcomes. What spreads within a window
    depends on when it arrived, so rules about that are left out.
    """
    rules = [rule for rule in load_rules(RULES).rule if rule.on is not RuleTrigger.SPREAD]
    return {
        (rule.name, payload["fingerprint"] if kind == "failure" else problem_of(payload))
        for kind, payload in publications
        for rule in rules
        if (rule.speaks_of(payload) if kind == "outcome" else not rule.outcomes and rule.match.fits(payload))
    }


def _told(body: str) -> Told:
    data = json.loads(body)["data"]
    ends = datetime.fromisoformat(data["endsAt"]) if data["endsAt"] else None
    return Told(data["rule"], data["problem"], datetime.fromisoformat(data["startsAt"]), data["status"], ends)


def _id(told: Told) -> str:
    return alert_event_id(told.rule, told.problem, (told.starts_at - _EPOCH) // timedelta(microseconds=1), told.status)
