"""Alert messages: one when an alert fires, one when it is resolved, each with one id even if the alerter is killed."""

import json
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook

from stumble.alerts import subscriptions
from stumble.alerts.alert_messages import AlertMessages
from stumble.alerts.publications import PublicationCursor
from tests.integration.alerts.conftest import (
    failure,
    insert_failures,
    publication,
    replace_file,
    running_alerter,
)
from tests.integration.alerts.test_alertmanager import eventually, now_us
from tests.support.receiver import receiver
from tests.support.services import ROOT, cli_environment
from tests.support.subscribers import KEY, subscribe

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


def resolve(connection, fingerprint="v1:binding"):
    connection.execute(
        "update problems set state = 'RESOLVED', resolved_at = now() where fingerprint = %s", (fingerprint,)
    )


def test_failures_of_one_cause_send_one_firing_and_one_resolved_message(store, connection, rules):
    with receiver() as received, running_alerter(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        created = subscribe(connection, received.url, kinds=["alert"])
        now = now_us()
        insert_failures(connection, [failure(now, owner_project_id=f"p{n % 7}") for n in range(10_000)])
        eventually(lambda: connection.execute("select sum(failures) from alerts").fetchone() == (10_000,))
        eventually(lambda: received.posts)
        resolve(connection)
        eventually(lambda: len(received.posts) == 2)
        eventually(lambda: connection.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    firing, resolved = (Webhook(created.secret).verify(body, headers) for headers, body in received.posts)
    assert len({headers["webhook-id"] for headers, _ in received.posts}) == 2
    assert (firing["type"], resolved["type"]) == ("alert.firing", "alert.resolved")
    assert firing["timestamp"] == firing["data"]["startsAt"] == resolved["data"]["startsAt"]
    assert resolved["timestamp"] == resolved["data"]["endsAt"] > resolved["data"]["startsAt"]
    assert firing["data"]["endsAt"] is None
    for message in (firing, resolved):
        data = message["data"]
        assert (data["rule"], data["problem"], data["severity"]) == ("storm", "v1:binding", "critical")
        assert data["labels"] == {
            "alertname": "StumbleStorm", "rule": "storm", "problem": "v1:binding", "team": "net",
            "severity": "critical", "exception": "PortBindingFailed", "blame": "DEPENDENCY",
        }  # fmt: skip
        assert "10000 failures on 10000 servers of 7 projects since" in data["annotations"]["summary"]
        assert data["annotations"]["examples"].count("req-") == 3
        assert data["annotations"]["description"] == "Look at Neutron."
        assert "details" not in json.dumps(message)
    assert ", resolved at 20" in resolved["data"]["annotations"]["summary"]


def test_alerts_have_the_message_that_a_reason_withholds_and_messages_about_failures_do_not(
    store, connection, tmp_path
):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES + '[[rule]]\nname = "ends"\non = "outcome"\n[rule.match]\noutcome = "FAILED"\n')
    event_id, failed = str(uuid.uuid4()), failure(now_us(), exception="libvirtError", reason="libvirtError")
    request = {**failed, "outcome": "FAILED", "verdict": None}
    with receiver() as received, running_alerter(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        subscribe(connection, received.url, kinds=["alert", "failure", "outcome"])
        with connection.transaction():
            connection.execute(
                "insert into events (event_id, occurred_at, kafka_partition, kafka_offset, body, message)"
                " values (%s, now(), 0, 0, '', %s)",
                (event_id, "internal error: " + "x" * 1000),
            )
            published = [publication(failed), publication(request, kind="outcome")]
            insert_failures(connection, [failed], published)
            connection.execute("update failures set detail_event_id = %s", (event_id,))
        eventually(lambda: len(received.posts) == 4)
    by_type: dict[str, list[dict[str, Any]]] = {}
    for body in received.bodies():
        by_type.setdefault(body["type"], []).append(body["data"])
    assert sorted(by_type) == ["action.failed", "action.outcome", "alert.firing"]
    for alert in by_type["alert.firing"]:
        assert alert["annotations"]["reason"] == "libvirtError"
        assert alert["annotations"]["message"] == "internal error: " + "x" * 483 + "…"
    assert "internal error" not in json.dumps(by_type["action.failed"] + by_type["action.outcome"])


@contextmanager
def alerter(store, rules):
    environment = cli_environment(
        STUMBLE_DATABASE_URL=store,
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9",  # publishing to topics waits, alerts don't
        STUMBLE_SUBSCRIPTION_KEYS=KEY,
        STUMBLE_ALERTS_RULES=str(rules),
        STUMBLE_ALERTS_WEBHOOK_NETWORKS=LOOPBACK,
    )
    command = [sys.executable, "-m", "stumble.cli", "alerter"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_unanswered_message_is_sent_again_with_its_id_after_the_alerter_is_killed(store, connection, rules):
    release = threading.Event()
    with receiver() as received:
        received.answer = lambda _: (release.wait(90), (200, {}))[1]
        subscribe(connection, received.url, kinds=["alert"])
        insert_failures(connection, [failure(now_us()), failure(now_us())])
        with alerter(store, rules):
            eventually(lambda: received.posts)  # received, not yet answered
        assert connection.execute("select attempts, delivered_at from deliveries").fetchall() == [(0, None)]
        resolve(connection)  # while no alerter runs
        received.answer = lambda _: (200, {})
        release.set()
        with alerter(store, rules):
            eventually(lambda: connection.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    assert [body["type"] for body in received.bodies()] == ["alert.firing", "alert.firing", "alert.resolved"]
    (first, again), resolved = received.posts[:2], received.posts[2]
    assert first[0]["webhook-id"] == again[0]["webhook-id"] != resolved[0]["webhook-id"]
    assert first[1] == again[1], "one id, one body"


def test_alert_and_its_message_are_stored_in_one_transaction(store, connection, rules, monkeypatch):
    mark, counts = PublicationCursor.mark, []

    def fail_once(self, connection, last):
        counted = connection.execute("select (select count(*) from alerts), (select count(*) from deliveries)")
        counts.append(counted.fetchone())
        if len(counts) == 1:
            raise RuntimeError("killed")
        mark(self, connection, last)

    monkeypatch.setattr(PublicationCursor, "mark", fail_once)
    with receiver() as received, running_alerter(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        subscribe(connection, received.url, kinds=["alert"])
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: len(counts) == 1)
        assert connection.execute(
            "select (select count(*) from alerts) + (select count(*) from deliveries)"
        ).fetchone() == (0,)
        eventually(lambda: connection.execute("select count(delivered_at) from deliveries").fetchone() == (1,))
        assert counts == [(1, 1), (1, 1)]
        original_over, ended = AlertMessages.over, []

        def fail_once_more(self, connection, alerts, rules):
            ended.append(original_over(self, connection, alerts, rules))
            if len(ended) == 1:
                raise RuntimeError("killed")

        monkeypatch.setattr(AlertMessages, "over", fail_once_more)
        resolve(connection)
        eventually(lambda: connection.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
    assert ended == [1, 1]
    assert [body["type"] for body in received.bodies()] == ["alert.firing", "alert.resolved"]


TWO_RULES = (
    RULES
    + """
[[rule]]
name = "each"
on = "failure"
severity = "info"
quiet = "1h"
"""
)


def test_subscription_selects_alerts_by_rule_severity_and_match(store, connection, rules):
    rules.write_text(TWO_RULES)
    with receiver() as received, running_alerter(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        subscribers: dict[str, dict[str, Any]] = {
            "all": {"kinds": ["alert"]},
            "rule": {"kinds": ["alert"], "rules": ["ea*", "other"]},
            "severity": {"kinds": ["alert"], "severities": ["critical", "warning"]},
            "match": {"kinds": ["alert"], "match": {"exception": "Disk*"}},
            "both": {"kinds": ["failure", "alert"], "severities": ["info"]},
            "none": {"kinds": ["alert"], "rules": ["each"], "severities": ["critical"]},
            "default": {},
            "disabled": {"kinds": ["alert"]},
        }
        created = {
            name: subscribe(connection, received.url + f"/{name}", **options).id
            for name, options in subscribers.items()
        }
        connection.execute("update subscriptions set disabled_at = now() where id = %s", (created["disabled"],))
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: connection.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (2,))
        late = subscribe(connection, received.url, kinds=["alert"]).id
        insert_failures(connection, [failure(now_us(), fingerprint="v1:disk", exception="DiskNotFound")])
        eventually(lambda: connection.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (4,))
        resolve(connection)
        eventually(lambda: connection.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (2,))
        eventually(
            lambda: connection.execute("select bool_and(delivered_at is not null) from deliveries").fetchone()[0]
        )
    storm, each, disk_storm, disk_each = ("storm binding", "each binding", "storm disk", "each disk")
    assert delivered_alerts(connection) == {
        (created["all"], name, status)
        for name, status in [(n, "firing") for n in (storm, each, disk_storm, disk_each)]
        + [(storm, "resolved"), (each, "resolved")]
    } | {
        (created["rule"], each, "firing"), (created["rule"], disk_each, "firing"), (created["rule"], each, "resolved"),
        (created["severity"], storm, "firing"), (created["severity"], disk_storm, "firing"),
        (created["severity"], storm, "resolved"),
        (created["match"], disk_storm, "firing"), (created["match"], disk_each, "firing"),
        (created["both"], "failure", None), (created["both"], each, "firing"), (created["both"], disk_each, "firing"),
        (created["both"], each, "resolved"),
        (created["default"], "failure", None),
        (late, disk_storm, "firing"), (late, disk_each, "firing"),
    }  # fmt: skip


def delivered_alerts(connection):
    rows = connection.execute("select subscription_id::text, alert from deliveries").fetchall()
    return {
        (subscription, f"{alert['rule']} {alert['problem'].removeprefix('v1:')}", alert["status"])
        if alert
        else (subscription, "failure", None)
        for subscription, alert in rows
    }


def test_alertmanager_body_has_status_firing_then_resolved(store, connection, rules):
    rules.write_text(RULES.replace('"1h"', '"1s"'))
    with receiver() as received, running_alerter(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        created = subscribe(connection, received.url, kinds=["alert"], body="alertmanager")
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: connection.execute("select count(delivered_at) from deliveries").fetchone() == (2,))
        subscriptions.resend(connection, created.id, received.posts[0][0]["webhook-id"])
        eventually(lambda: len(received.posts) == 3)
    for headers, body in received.posts:
        Webhook(created.secret).verify(body, headers)
    assert received.posts[2][1] == received.posts[0][1], "sent again as it was"
    firing, resolved, _ = received.bodies()
    assert [body["version"] for body in (firing, resolved)] == ["4", "4"]
    assert [(body["status"], body["alerts"][0]["status"]) for body in (firing, resolved)] == [
        ("firing", "firing"),
        ("resolved", "resolved"),
    ]
    assert firing["groupKey"] == resolved["groupKey"] == '{}:{problem="v1:binding", rule="storm"}'
    first, last = firing["alerts"][0], resolved["alerts"][0]
    assert first["endsAt"] == "0001-01-01T00:00:00Z" != last["endsAt"]
    for name in ("labels", "startsAt", "fingerprint"):
        assert first[name] == last[name]
    assert first["labels"]["alertname"] == "StumbleStorm"
    assert first["annotations"]["failures"] == "1"


def test_subscriber_of_a_firing_alert_gets_resolved_after_the_rule_changed(store, connection, rules):
    with receiver() as received, running_alerter(store, webhooks=True, rules=rules, webhook_networks=LOOPBACK):
        subscribe(connection, received.url, kinds=["alert"], severities=["critical"])
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: received.posts)
        replace_file(rules, RULES.replace("critical", "info"))
        eventually(lambda: (insert_failures(connection, [failure(now_us())]), severity(connection) == "info")[1])
        connection.execute("update problems set muted_until = now() + interval '1 hour'")
        eventually(lambda: len(received.posts) == 2)
    firing, resolved = received.bodies()
    assert resolved["type"] == "alert.resolved"
    assert resolved["data"]["labels"] == firing["data"]["labels"]
    assert resolved["data"]["severity"] == "critical"


def severity(connection):
    return connection.execute("select severity from alerts").fetchone()[0]
