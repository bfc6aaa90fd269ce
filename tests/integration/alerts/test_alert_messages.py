"""Subscribers are told of alerts: once when one fires, once when it is over, with one id over any kill."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from standardwebhooks import Webhook

from stumble.alerts import subscriptions
from stumble.alerts.alert_messages import AlertMessages
from stumble.alerts.publications import PublicationCursor
from tests.integration.alerts.conftest import alerting, failure, lay, rewrite
from tests.integration.alerts.test_alertmanager import eventually, now_us
from tests.support.receiver import receiver
from tests.support.services import ROOT, cli_environment

LOOPBACK = "127.0.0.0/8"
RULES = """
[[rule]]
name = "storm"
on = "problem"
severity = "critical"
text = "Look at Neutron."
quiet = "1h"
[rule.labels]
team = "net"
"""


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def resolve(link, fingerprint="v1:binding"):
    link.execute("update problems set state = 'RESOLVED', resolved_at = now() where fingerprint = %s", (fingerprint,))


def test_a_storm_of_one_cause_is_one_message_and_one_when_it_is_over(store, link, rules):
    with receiver() as told, alerting(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        made = subscriptions.add(link, told.url, kinds=["alert"])
        now = now_us()
        lay(link, [failure(now, owner_project_id=f"p{n % 7}") for n in range(10_000)])
        eventually(lambda: link.execute("select sum(failures) from alerts").fetchone() == (10_000,))
        eventually(lambda: told.posts)
        resolve(link)
        eventually(lambda: len(told.posts) == 2)
        eventually(lambda: link.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    begun, over = (Webhook(made.secrets[0]).verify(body, headers) for headers, body in told.posts)
    assert len({headers["webhook-id"] for headers, _ in told.posts}) == 2
    assert (begun["type"], over["type"]) == ("alert.firing", "alert.resolved")
    assert begun["timestamp"] == begun["data"]["startsAt"] == over["data"]["startsAt"]
    assert over["timestamp"] == over["data"]["endsAt"] > over["data"]["startsAt"]
    assert begun["data"]["endsAt"] is None
    for message in (begun, over):
        data = message["data"]
        assert (data["rule"], data["problem"], data["severity"]) == ("storm", "v1:binding", "critical")
        assert data["labels"] == {
            "alertname": "StumbleStorm", "rule": "storm", "problem": "v1:binding", "team": "net",
            "severity": "critical", "action": "create", "exception": "PortBindingFailed", "blame": "DEPENDENCY",
        }  # fmt: skip
        assert "10000 failures on 10000 servers of 7 projects since" in data["annotations"]["summary"]
        assert data["annotations"]["examples"].count("req-") == 3
        assert data["annotations"]["description"] == "Look at Neutron."
        assert "details" not in json.dumps(message)
    assert ", over at 20" in over["data"]["annotations"]["summary"]


@contextmanager
def alerter(store, rules):
    environment = cli_environment(
        STUMBLE_DATABASE_URL=store,
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9",  # the topics wait, alerts don't
        STUMBLE_ALERTS_RULES=str(rules),
        STUMBLE_ALERTS_WEBHOOK_NETWORKS=LOOPBACK,
    )
    command = [sys.executable, "-m", "stumble.cli", "alerter"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_an_alerter_killed_before_a_message_was_taken_loses_none_and_makes_none_twice(store, link, rules):
    let_go = threading.Event()
    with receiver() as told:
        told.answer = lambda _: (let_go.wait(90), (200, {}))[1]
        subscriptions.add(link, told.url, kinds=["alert"])
        lay(link, [failure(now_us()), failure(now_us())])
        with alerter(store, rules):
            eventually(lambda: told.posts)  # received, not yet answered
        assert link.execute("select attempts, delivered_at from deliveries").fetchall() == [(0, None)]
        resolve(link)  # while nobody looks
        told.answer = lambda _: (200, {})
        let_go.set()
        with alerter(store, rules):
            eventually(lambda: link.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    assert [body["type"] for body in told.bodies()] == ["alert.firing", "alert.firing", "alert.resolved"]
    (first, again), over = told.posts[:2], told.posts[2]
    assert first[0]["webhook-id"] == again[0]["webhook-id"] != over[0]["webhook-id"]
    assert first[1] == again[1], "one id, one body"


def test_an_alert_and_its_message_are_laid_down_together_or_not_at_all(store, link, rules, monkeypatch):
    mark, seen = PublicationCursor.mark, []

    def dies_once(self, connection, last):
        counted = connection.execute("select (select count(*) from alerts), (select count(*) from deliveries)")
        seen.append(counted.fetchone())
        if len(seen) == 1:
            raise RuntimeError("killed")
        mark(self, connection, last)

    monkeypatch.setattr(PublicationCursor, "mark", dies_once)
    with receiver() as told, alerting(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        subscriptions.add(link, told.url, kinds=["alert"])
        lay(link, [failure(now_us())])
        eventually(lambda: len(seen) == 1)
        assert link.execute("select (select count(*) from alerts) + (select count(*) from deliveries)").fetchone() == (
            0,
        )
        eventually(lambda: link.execute("select count(delivered_at) from deliveries").fetchone() == (1,))
        assert seen == [(1, 1), (1, 1)]
        over, ended = AlertMessages.over, []

        def dies_once_more(self, connection, alerts, rules):
            ended.append(over(self, connection, alerts, rules))
            if len(ended) == 1:
                raise RuntimeError("killed")

        monkeypatch.setattr(AlertMessages, "over", dies_once_more)
        resolve(link)
        eventually(lambda: link.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    assert ended == [1, 1]
    assert [body["type"] for body in told.bodies()] == ["alert.firing", "alert.resolved"]


TWO = (
    RULES
    + """
[[rule]]
name = "each"
on = "failure"
severity = "info"
quiet = "1h"
"""
)


def test_subscribers_choose_alerts_by_rule_severity_and_match(store, link, rules):
    rules.write_text(TWO)
    with receiver() as told, alerting(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        made = {
            name: subscriptions.add(link, told.url + f"/{name}", **wanted).id
            for name, wanted in {
                "all": {"kinds": ["alert"]},
                "rule": {"kinds": ["alert"], "rules": ["ea*", "other"]},
                "severity": {"kinds": ["alert"], "severities": ["critical", "warning"]},
                "match": {"kinds": ["alert"], "match": {"exception": "Disk*"}},
                "both": {"kinds": ["failure", "alert"], "severities": ["info"]},
                "none": {"kinds": ["alert"], "rules": ["each"], "severities": ["critical"]},
                "as before": {},
                "gone": {"kinds": ["alert"]},
            }.items()
        }
        link.execute("update subscriptions set disabled_at = now() where id = %s", (made["gone"],))
        lay(link, [failure(now_us())])
        eventually(lambda: link.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (2,))
        late = subscriptions.add(link, told.url, kinds=["alert"]).id
        lay(link, [failure(now_us(), fingerprint="v1:disk", exception="DiskNotFound")])
        eventually(lambda: link.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (4,))
        resolve(link)
        eventually(lambda: link.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (2,))
        eventually(lambda: link.execute("select bool_and(delivered_at is not null) from deliveries").fetchone()[0])
    storm, each, disk_storm, disk_each = ("storm binding", "each binding", "storm disk", "each disk")
    assert heard(link) == {
        (made["all"], name, status)
        for name, status in [(n, "firing") for n in (storm, each, disk_storm, disk_each)]
        + [(storm, "resolved"), (each, "resolved")]
    } | {
        (made["rule"], each, "firing"), (made["rule"], disk_each, "firing"), (made["rule"], each, "resolved"),
        (made["severity"], storm, "firing"), (made["severity"], disk_storm, "firing"),
        (made["severity"], storm, "resolved"),
        (made["match"], disk_storm, "firing"), (made["match"], disk_each, "firing"),
        (made["both"], "failure", None), (made["both"], each, "firing"), (made["both"], disk_each, "firing"),
        (made["both"], each, "resolved"),
        (made["as before"], "failure", None),
        (late, disk_storm, "firing"), (late, disk_each, "firing"),
    }  # fmt: skip


def heard(link):
    rows = link.execute("select subscription_id::text, alert from deliveries").fetchall()
    return {
        (subscription, f"{told['rule']} {told['problem'].removeprefix('v1:')}", told["status"])
        if told
        else (subscription, "failure", None)
        for subscription, told in rows
    }


def test_alertmanagers_body_says_firing_and_resolved(store, link, rules):
    rules.write_text(RULES.replace('"1h"', '"1s"'))
    with receiver() as told, alerting(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        made = subscriptions.add(link, told.url, kinds=["alert"], body="alertmanager")
        lay(link, [failure(now_us())])
        eventually(lambda: link.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
        subscriptions.resend(link, made.id, told.posts[0][0]["webhook-id"])
        eventually(lambda: len(told.posts) == 3)
    for headers, body in told.posts:
        Webhook(made.secrets[0]).verify(body, headers)
    assert told.posts[2][1] == told.posts[0][1], "sent again as it was"
    begun, over, _ = told.bodies()
    assert [body["version"] for body in (begun, over)] == ["4", "4"]
    assert [(body["status"], body["alerts"][0]["status"]) for body in (begun, over)] == [
        ("firing", "firing"),
        ("resolved", "resolved"),
    ]
    assert begun["groupKey"] == over["groupKey"] == '{}:{problem="v1:binding", rule="storm"}'
    first, last = begun["alerts"][0], over["alerts"][0]
    assert first["endsAt"] == "0001-01-01T00:00:00Z" != last["endsAt"]
    for name in ("labels", "startsAt", "fingerprint"):
        assert first[name] == last[name]
    assert first["labels"]["alertname"] == "StumbleStorm"
    assert first["annotations"]["failures"] == "1"


def test_who_heard_that_it_fires_hears_that_it_is_over_whatever_became_of_the_rule(store, link, rules):
    with receiver() as told, alerting(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        subscriptions.add(link, told.url, kinds=["alert"], severities=["critical"])
        lay(link, [failure(now_us())])
        eventually(lambda: told.posts)
        rewrite(rules, RULES.replace("critical", "info"))
        eventually(lambda: (lay(link, [failure(now_us())]), severity(link) == "info")[1])
        link.execute("update problems set muted_until = now() + interval '1 hour'")
        eventually(lambda: len(told.posts) == 2)
    begun, over = told.bodies()
    assert over["type"] == "alert.resolved"
    assert over["data"]["labels"] == begun["data"]["labels"]
    assert over["data"]["severity"] == "critical"


def severity(link):
    return link.execute("select severity from alerts").fetchone()[0]
