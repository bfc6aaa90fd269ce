"""Alerts in a real Alertmanager: they fire, are updated with their extent, and are resolved."""

import subprocess
import sys
import time
import uuid
from typing import Any

import pytest

from tests.integration.alerts.conftest import failure, insert_failures, publication, replace_file, running_alerter
from tests.support.alertmanager import LocalAlertmanager, require_alertmanager
from tests.support.endless_server import IN_HEADERS, endless_server
from tests.support.receiver import receiver
from tests.support.services import ROOT, cli_environment
from tests.support.subscribers import subscribe

QUIET = """
[[rule]]
name = "binding-fails"
on = "problem"
quiet = "10m"
text = "Look at Neutron."
[rule.labels]
team = "net"
"""


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    require_alertmanager()
    with receiver() as notified:
        server = LocalAlertmanager(tmp_path_factory.mktemp("alertmanager"), notified.url)
        try:
            server.start()
            yield server, notified
        finally:
            server.stop()


def eventually(check, seconds=90):
    """Wait until `check` is true; alerts appear only when no older transaction is open, including other tests'."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.05)


def now_us():
    return time.time_ns() // 1000


def of_rule(manager, name):
    return [item for item in manager.alerts() if item["labels"]["rule"] == name]


def test_alert_fires_is_updated_and_resolves_after_the_quiet_time(manager, store, connection, tmp_path):
    server, notified = manager
    rules = tmp_path / "rules.toml"
    rules.write_text(QUIET)
    with running_alerter(store, rules=rules, alertmanagers=f"http://127.0.0.1:9,{server.url}"):
        insert_failures(
            connection, [failure(now_us(), owner_project_id="p1"), failure(now_us(), owner_project_id="p2")]
        )
        (alert,) = eventually(lambda: of_rule(server, "binding-fails"))
        assert alert["labels"] == {
            "alertname": "StumbleBindingFails", "rule": "binding-fails", "problem": "v1:binding", "team": "net",
            "severity": "warning", "exception": "PortBindingFailed", "blame": "DEPENDENCY",
        }  # fmt: skip
        assert "2 failures on 2 servers of 2 projects" in alert["annotations"]["summary"]
        assert alert["annotations"]["description"] == "Look at Neutron."
        assert alert["annotations"]["examples"].count("req-") == 2
        assert alert["annotations"]["examples"].count("(server ") == 2
        assert all(
            url.startswith("http://127.0.0.1:8686/requests/req-")
            for url in alert["annotations"]["example_urls"].split()
        )
        assert alert["endsAt"] > alert["updatedAt"]
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: of_rule(server, "binding-fails")[0]["annotations"]["failures"] == "3")
        connection.execute("update alerts set last_at = last_at - interval '11 minutes'")
        (resolved,) = eventually(lambda: [body for body in notified.bodies() if body["status"] == "resolved"])
        assert "3 failures on 3 servers of 2 projects since" in resolved["commonAnnotations"]["summary"]
        assert ", resolved at 20" in resolved["commonAnnotations"]["summary"]
        assert connection.execute("select state from alerts").fetchone() == ("RESOLVED",)


def test_replica_that_answers_byte_by_byte_does_not_silence_the_other(store, connection):
    with endless_server(IN_HEADERS) as slow, receiver() as quick:
        urls = f"{slow},{quick.url.removesuffix('/hook')}"
        with running_alerter(store, alertmanagers=urls):
            for number in range(3):
                insert_failures(connection, [failure(now_us(), fingerprint=f"v1:slow-{number}")])
                eventually(lambda number=number: f"v1:slow-{number}" in str(quick.posts))


def test_alert_keeps_firing_when_the_alerter_is_killed_and_restarted(manager, store, connection, tmp_path):
    server, notified = manager
    rules = tmp_path / "rules.toml"
    rules.write_text(QUIET.replace("binding-fails", "outlives"))
    environment = cli_environment(
        STUMBLE_DATABASE_URL=store,
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9",  # publishing to topics waits, alerts don't
        STUMBLE_ALERTS_RULES=str(rules),
        STUMBLE_ALERTS_ALERTMANAGERS=server.url,
        STUMBLE_ALERTS_RESEND_SECONDS="15",
    )
    before = len(notified.bodies())
    updates: list[dict[str, Any]] = []
    insert_failures(connection, [failure(now_us(), fingerprint="v1:outlives")])
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "stumble.cli", "alerter"],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                last_update = updates[-1]["updatedAt"] if updates else ""
                updates += eventually(
                    lambda last_update=last_update: [
                        one for one in of_rule(server, "outlives") if one["updatedAt"] > last_update
                    ]
                )
            finally:
                process.kill()
    assert len({alert["startsAt"] for alert in updates}) == 1
    assert updates[1]["endsAt"] > updates[0]["endsAt"]
    ended = [alert for body in notified.bodies()[before:] for alert in body["alerts"] if alert["status"] == "resolved"]
    assert [alert for alert in ended if alert["labels"]["rule"] == "outlives"] == []


def test_ten_thousand_failures_of_one_problem_are_one_alert_and_delay_no_other(manager, store, connection, tmp_path):
    server, notified = manager
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "storm"\non = "problem"\n')
    before = len(notified.posts)
    with running_alerter(store, rules=rules, alertmanagers=server.url):
        now = now_us()
        insert_failures(
            connection, [failure(now, fingerprint="v1:storm", owner_project_id=f"p{n % 7}") for n in range(10_000)]
        )
        insert_failures(connection, [failure(now, fingerprint="v1:other", exception="DiskNotFound")])
        summary = eventually(
            lambda: {
                item["labels"]["problem"]: item["annotations"]["summary"] for item in of_rule(server, "storm")
            }.get("v1:other")
        )
        assert "1 failure on 1 server of 1 project since" in summary
        storm = eventually(
            lambda: [
                item
                for item in of_rule(server, "storm")
                if item["annotations"]["failures"] == "10000" and item["labels"]["problem"] == "v1:storm"
            ]
        )
        assert "10000 failures on 10000 servers of 7 projects" in storm[0]["annotations"]["summary"]
        assert storm[0]["annotations"]["examples"].count("req-") == 3
    bodies = [body for body in notified.bodies()[before:] if body["groupLabels"]["problem"] == "v1:storm"]
    assert {body["status"] for body in bodies} == {"firing"}


def test_user_mistakes_muted_problems_and_corrections_send_no_alert(manager, store, connection):
    server, _ = manager
    known = failure(now_us(), fingerprint="v1:muted", blame="OPERATOR")
    with running_alerter(store, alertmanagers=""):
        insert_failures(connection, [known])
        eventually(lambda: connection.execute("select count(*) from problems").fetchone()[0] == 1)
    connection.execute("update problems set muted_until = now() + interval '1 hour'")
    connection.execute("delete from alerts")
    with running_alerter(store, alertmanagers=server.url):
        insert_failures(connection, [failure(now_us(), fingerprint="v1:user", blame="USER")])
        insert_failures(connection, [failure(now_us(), fingerprint="v1:muted", blame="OPERATOR")])
        corrected = failure(now_us(), fingerprint="v1:corrected", blame="OPERATOR")
        insert_failures(connection, [corrected], [publication(corrected, revision=2)])
        insert_failures(connection, [failure(now_us(), fingerprint="v1:last", blame="OPERATOR")])
        eventually(lambda: connection.execute("select count(*) from alerts").fetchone()[0] == 1)
    assert connection.execute("select problem from alerts").fetchall() == [("v1:last",)]
    stored = connection.execute("select fingerprint from problems").fetchall()
    assert ("v1:corrected",) in stored, "a correction moves a failure to another problem"


def test_muting_or_resolving_a_problem_ends_its_alerts_immediately(store, connection):
    with running_alerter(store):
        for name in ("muted", "resolved"):
            insert_failures(connection, [failure(now_us(), fingerprint=f"v1:{name}")])
        eventually(lambda: connection.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (2,))
        connection.execute("update problems set muted_until = now() + interval '1 hour' where fingerprint = 'v1:muted'")
        connection.execute(
            "update problems set state = 'RESOLVED', resolved_at = now() where fingerprint = 'v1:resolved'"
        )
        eventually(lambda: connection.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (0,))


def test_alert_counts_only_failures_that_its_rule_matches(manager, store, connection, tmp_path):
    server, _ = manager
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "rack"\non = "spread"\nfailures = 2\ninstances = 2\n[rule.match]\nhost = "r1-*"\n'
    )
    with running_alerter(store, rules=rules, alertmanagers=server.url):
        insert_failures(
            connection, [failure(now_us(), host=f"r2-{n}") for n in range(5)] + [failure(now_us(), host="r1-1")]
        )
        insert_failures(connection, [failure(now_us(), fingerprint="v1:mark")])
        eventually(lambda: connection.execute("select count(*) from problems").fetchone() == (2,))
        assert connection.execute("select count(*) from alerts").fetchone() == (0,)
        insert_failures(connection, [failure(now_us(), host="r1-2")])
        (alert,) = eventually(lambda: of_rule(server, "rack"))
    assert "2 failures on 2 servers of 1 project since" in alert["annotations"]["summary"]
    assert alert["annotations"]["hosts"] == "2"


def test_one_dead_hypervisor_is_one_alert_that_names_the_actions_and_the_host(manager, store, connection, tmp_path):
    server, notified = manager
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "dead"\non = "spread"\nfailures = 10\ninstances = 10\n')
    actions = ["stop", "start", "reboot", "pause", "suspend", "resume", "rescue", "rebuild", "resize", "create"]
    dead = {"fingerprint": "v1:dead", "exception": "HypervisorUnavailable", "host": "cmp-7"}
    before = len(notified.posts)
    with running_alerter(store, rules=rules, alertmanagers=server.url):
        for action in actions:
            insert_failures(connection, [failure(now_us(), action=action, **dead)])
        (alert,) = eventually(lambda: of_rule(server, "dead"))
        insert_failures(connection, [failure(now_us(), action="delete", **dead)])
        eventually(lambda: [one for one in of_rule(server, "dead") if one["annotations"]["failures"] == "11"])
        assert [one["labels"] for one in of_rule(server, "dead")] == [alert["labels"]]
    assert "action" not in alert["labels"], "a label that changes would end the alert and fire another"
    assert alert["annotations"]["summary"].startswith("HypervisorUnavailable: 10 failures on 10 servers of 1 project")
    assert alert["annotations"]["actions"].split(", ") == sorted(actions)
    assert alert["annotations"]["host_names"] == "cmp-7"
    assert alert["generatorURL"].endswith("/?problem=v1%3Adead")
    assert {body["groupLabels"]["problem"] for body in notified.bodies()[before:]} == {"v1:dead"}


def test_rule_about_one_action_counts_only_its_failures(store, connection, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "stops"\non = "spread"\nfailures = 2\ninstances = 2\n[rule.match]\naction = "stop"\n'
    )
    with running_alerter(store, rules=rules):
        insert_failures(connection, [failure(now_us(), action=action) for action in ("stop", "start", "start")])
        insert_failures(connection, [failure(now_us(), fingerprint="v1:mark")])
        eventually(lambda: connection.execute("select count(*) from problems").fetchone() == (2,))
        assert connection.execute("select count(*) from alerts").fetchone() == (0,)
        insert_failures(connection, [failure(now_us(), action="stop")])
        eventually(lambda: connection.execute("select rule, failures from alerts").fetchall() == [("stops", 2)])


def test_default_rules_alert_on_stalled_requests_with_the_evidence(manager, store, connection):
    server, _ = manager
    stalled = {
        "request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()), "request_id": "req-1", "action": "resize",
        "outcome": "STALLED", "reason": "No events.", "evidence": "no reports from cmp-7 since noon",
        "started_at": now_us(),
    }  # fmt: skip
    with running_alerter(store, alertmanagers=server.url):
        insert_failures(
            connection,
            [],
            [
                publication(stalled, kind="outcome"),
                publication({**stalled, "outcome": "FAILED"}, kind="outcome", revision=2),
            ],
        )
        (alert,) = eventually(lambda: of_rule(server, "stalled-request"))
    assert alert["labels"]["action"] == "resize"
    assert alert["annotations"]["reason"] == "no reports from cmp-7 since noon"
    assert alert["annotations"]["failures"] == "1"
    assert alert["annotations"]["examples"] == f"req-1 (server {stalled['instance_uuid']})"
    assert alert["annotations"]["summary"].startswith("1 resize request has stalled since ")


def test_resolved_problem_regresses_only_for_a_failure_after_its_resolution(store, connection):
    with running_alerter(store):
        insert_failures(connection, [failure(now_us())])
        eventually(lambda: connection.execute("select state from problems").fetchone() == ("OPEN",))
        connection.execute("update problems set state = 'RESOLVED', resolved_at = now()")
        insert_failures(
            connection, [failure(now_us() - 60_000_000)]
        )  # occurred before the problem was resolved, arrived after
        insert_failures(connection, [failure(now_us(), fingerprint="v1:mark")])
        eventually(lambda: connection.execute("select count(*) from problems").fetchone()[0] == 2)
        assert connection.execute("select state from problems where fingerprint = 'v1:binding'").fetchone() == (
            "RESOLVED",
        )
        insert_failures(connection, [failure(now_us() + 1_000_000)])
        eventually(
            lambda: (
                connection.execute("select state from problems where fingerprint = 'v1:binding'").fetchone()
                == ("REGRESSED",)
            )
        )


def test_problem_known_by_a_correction_only_is_new_with_its_first_new_failure(store, connection, tmp_path):
    firing = "select problem from alerts where state = 'FIRING'"
    with running_alerter(store, rules=_problem_rule(tmp_path)):
        _correct_to(connection, "v1:late")
        eventually(lambda: connection.execute("select state from problems").fetchall() == [("OPEN",)])
        assert connection.execute(firing).fetchall() == []
        insert_failures(connection, [failure(now_us(), fingerprint="v1:late")])
        eventually(lambda: connection.execute(firing).fetchall() == [("v1:late",)])


def test_problem_that_a_correction_regressed_fires_with_its_next_new_failure(store, connection, tmp_path):
    firing = "select problem from alerts where state = 'FIRING'"
    with running_alerter(store, rules=_problem_rule(tmp_path)):
        insert_failures(connection, [failure(now_us(), fingerprint="v1:again")])
        eventually(lambda: connection.execute(firing).fetchall() == [("v1:again",)])
        connection.execute("update problems set state = 'RESOLVED', resolved_at = now()")
        eventually(lambda: connection.execute(firing).fetchall() == [])
        _correct_to(connection, "v1:again")
        eventually(lambda: connection.execute("select state from problems").fetchall() == [("REGRESSED",)])
        assert connection.execute(firing).fetchall() == []
        insert_failures(connection, [failure(now_us(), fingerprint="v1:again")])
        eventually(lambda: connection.execute(firing).fetchall() == [("v1:again",)])
        connection.execute("update alerts set last_at = now() - interval '1 day'")
        eventually(lambda: connection.execute(firing).fetchall() == [])
        insert_failures(connection, [failure(now_us(), fingerprint="v1:again")])
        insert_failures(connection, [failure(now_us(), fingerprint="v1:mark")])
        eventually(lambda: connection.execute(firing).fetchall() == [("v1:mark",)])


def _problem_rule(folder):
    rules = folder / "rules.toml"
    rules.write_text('[[rule]]\nname = "new-problem"\non = "problem"\n')
    return rules


def _correct_to(connection, fingerprint):
    corrected = failure(now_us() + 1_000_000, fingerprint=fingerprint)
    insert_failures(connection, [corrected], [publication(corrected, revision=2)])


def test_changed_rules_are_loaded_and_invalid_rules_are_ignored(store, connection, tmp_path, caplog):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "first"\non = "problem"\n')
    with running_alerter(store, rules=rules):
        replace_file(rules, "[[rule]]\nname = 3\n")
        eventually(lambda: "The rules read before stay in force" in caplog.text)
        assert f"{rules}: line 1: on: is missing; line 2: name: Input should be a valid string." in caplog.text
        rules.unlink()
        unread = f"{rules}: the file cannot be read: No such file or directory. The rules read"
        eventually(lambda: unread in caplog.text)
        insert_failures(connection, [failure(now_us(), fingerprint="v1:meanwhile")])
        eventually(lambda: connection.execute("select rule from alerts").fetchall() == [("first",)])
        caplog.set_level("INFO")
        replace_file(rules, '[[rule]]\nname = "second"\non = "problem"\n')
        eventually(lambda: "rules again" in caplog.text)
        insert_failures(connection, [failure(now_us())])
        eventually(
            lambda: connection.execute("select rule from alerts where rule <> 'first'").fetchall() == [("second",)]
        )


def test_failure_is_counted_once_with_two_alerters(store, connection):
    with running_alerter(store), running_alerter(store):
        insert_failures(connection, [failure(now_us()) for _ in range(50)])
        eventually(lambda: (connection.execute("select sum(failures) from alerts").fetchone()[0] or 0) >= 50)
        time.sleep(0.5)
    assert connection.execute("select sum(failures) from alerts where rule = 'new-problem'").fetchone() == (50,)


def test_outcome_rule_makes_one_alert_per_outcome_and_counts_a_request_once(store, connection, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "ended"\non = "outcome"\nmatch.outcome = ["FAILED", "RECOVERED"]\n')
    requests = [
        {"request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()), "request_id": f"req-{number}",
         "action": "resize", "outcome": outcome, "reason": "No valid host.", "started_at": now_us()}
        for number, outcome in enumerate(["FAILED", "FAILED", "RECOVERED", "SUCCEEDED", "STALLED", "CANCELLED"])
    ]  # fmt: skip
    with receiver() as received, running_alerter(store, webhooks=True, rules=rules, webhook_networks="127.0.0.0/8"):
        subscribe(connection, received.url, kinds=["alert"])
        insert_failures(connection, [], [publication(item, kind="outcome") for item in requests])
        eventually(lambda: len(received.posts) == 2)
        insert_failures(
            connection, [], [publication({**requests[0], "reason": "Another."}, kind="outcome", revision=2)]
        )
        insert_failures(connection, [], [publication({**requests[2], "outcome": "FAILED"}, kind="outcome", revision=2)])
        counts = "select problem, failures from alerts order by problem"
        eventually(lambda: connection.execute(counts).fetchall() == [("failed:resize", 3), ("recovered:resize", 1)])
    assert len(received.posts) == 2
    summaries = [body["data"]["annotations"]["summary"] for body in received.bodies()]
    assert sorted(text.partition(" since")[0] for text in summaries) == [
        "1 resize request failed at first and then worked",
        "2 resize requests failed",
    ]
