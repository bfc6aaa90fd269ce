"""A real Alertmanager is told of problems as states: they fire, they say how far they reach, they end."""

import subprocess
import sys
import threading
import time
import uuid

import pytest

from stumble.alerts import subscriptions
from tests.integration.alerts.conftest import alerting, failure, lay, published, rewrite
from tests.support.alertmanager import LocalAlertmanager, require_alertmanager
from tests.support.receiver import receiver
from tests.support.services import ROOT, cli_environment

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
    """Wait; alerts come only when no older transaction of the server is open, and that is other tests' too."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def now_us():
    return time.time_ns() // 1000


def of_rule(manager, name):
    return [item for item in manager.alerts() if item["labels"]["rule"] == name]


def test_a_problem_fires_grows_and_ends(manager, store, link, tmp_path):
    server, notified = manager
    rules = tmp_path / "rules.toml"
    rules.write_text(QUIET)
    with alerting(store, rules=rules, alertmanagers=f"http://127.0.0.1:9,{server.url}"):
        lay(link, [failure(now_us(), owner_project_id="p1"), failure(now_us(), owner_project_id="p2")])
        (alert,) = eventually(lambda: of_rule(server, "binding-fails"))
        assert alert["labels"] == {
            "alertname": "StumbleBindingFails", "rule": "binding-fails", "problem": "v1:binding", "team": "net",
            "severity": "warning", "action": "create", "exception": "PortBindingFailed", "blame": "DEPENDENCY",
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
        lay(link, [failure(now_us())])
        eventually(lambda: of_rule(server, "binding-fails")[0]["annotations"]["failures"] == "3")
        link.execute("update alerts set last_at = last_at - interval '11 minutes'")
        (over,) = eventually(lambda: [body for body in notified.bodies() if body["status"] == "resolved"])
        assert "3 failures on 3 servers of 2 projects since" in over["commonAnnotations"]["summary"]
        assert ", over at 20" in over["commonAnnotations"]["summary"]
        assert link.execute("select state from alerts").fetchone() == ("RESOLVED",)


def test_an_alert_goes_on_firing_over_a_killed_alerter(manager, store, link, tmp_path):
    server, notified = manager
    rules = tmp_path / "rules.toml"
    rules.write_text(QUIET.replace("binding-fails", "outlives"))
    environment = cli_environment(
        STUMBLE_DATABASE_URL=store,
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9",  # the topics wait, alerts don't
        STUMBLE_ALERTS_RULES=str(rules),
        STUMBLE_ALERTS_ALERTMANAGERS=server.url,
        STUMBLE_ALERTS_RESEND_SECONDS="15",
    )
    before = len(notified.bodies())
    seen = []
    lay(link, [failure(now_us(), fingerprint="v1:outlives")])
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "stumble.cli", "alerter"],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                told = seen[-1]["updatedAt"] if seen else ""
                seen += eventually(
                    lambda told=told: [one for one in of_rule(server, "outlives") if one["updatedAt"] > told]
                )
            finally:
                process.kill()
    assert len({alert["startsAt"] for alert in seen}) == 1
    assert seen[1]["endsAt"] > seen[0]["endsAt"]
    ended = [alert for body in notified.bodies()[before:] for alert in body["alerts"] if alert["status"] == "resolved"]
    assert [alert for alert in ended if alert["labels"]["rule"] == "outlives"] == []


def test_ten_thousand_failures_of_one_cause_are_one_alert_and_delay_no_other(manager, store, link, tmp_path):
    server, notified = manager
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "storm"\non = "problem"\n')
    before = len(notified.posts)
    with alerting(store, rules=rules, alertmanagers=server.url):
        now = now_us()
        lay(link, [failure(now, fingerprint="v1:storm", owner_project_id=f"p{n % 7}") for n in range(10_000)])
        lay(link, [failure(now, fingerprint="v1:other", exception="DiskNotFound")])
        found = eventually(
            lambda: {
                item["labels"]["problem"]: item["annotations"]["summary"] for item in of_rule(server, "storm")
            }.get("v1:other")
        )
        assert "1 failure on 1 server of 1 project since" in found
        storm = eventually(
            lambda: [
                item
                for item in of_rule(server, "storm")
                if item["annotations"]["failures"] == "10000" and item["labels"]["problem"] == "v1:storm"
            ]
        )
        assert "10000 failures on 10000 servers of 7 projects" in storm[0]["annotations"]["summary"]
        assert storm[0]["annotations"]["examples"].count("req-") == 3
    told = [body for body in notified.bodies()[before:] if body["groupLabels"]["problem"] == "v1:storm"]
    assert {body["status"] for body in told} == {"firing"}


def test_users_mistakes_muted_problems_and_corrections_push_nothing(manager, store, link):
    server, _ = manager
    known = failure(now_us(), fingerprint="v1:muted", blame="OPERATOR")
    with alerting(store, alertmanagers=""):
        lay(link, [known])
        eventually(lambda: link.execute("select count(*) from problems").fetchone()[0] == 1)
    link.execute("update problems set muted_until = now() + interval '1 hour'")
    link.execute("delete from alerts")
    with alerting(store, alertmanagers=server.url):
        lay(link, [failure(now_us(), fingerprint="v1:user", blame="USER")])
        lay(link, [failure(now_us(), fingerprint="v1:muted", blame="OPERATOR")])
        corrected = failure(now_us(), fingerprint="v1:corrected", blame="OPERATOR")
        lay(link, [corrected], [published(corrected, revision=2)])
        lay(link, [failure(now_us(), fingerprint="v1:last", blame="OPERATOR")])
        eventually(lambda: link.execute("select count(*) from alerts").fetchone()[0] == 1)
    assert link.execute("select problem from alerts").fetchall() == [("v1:last",)]


def test_a_muted_or_resolved_problem_ends_its_alerts_at_once(store, link):
    with alerting(store):
        for name in ("muted", "resolved"):
            lay(link, [failure(now_us(), fingerprint=f"v1:{name}")])
        eventually(lambda: link.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (2,))
        link.execute("update problems set muted_until = now() + interval '1 hour' where fingerprint = 'v1:muted'")
        link.execute("update problems set state = 'RESOLVED', resolved_at = now() where fingerprint = 'v1:resolved'")
        eventually(lambda: link.execute("select count(*) from alerts where state = 'FIRING'").fetchone() == (0,))


def test_an_alert_counts_what_its_rule_matches(manager, store, link, tmp_path):
    server, _ = manager
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "rack"\non = "spread"\nfailures = 2\ninstances = 2\n[rule.match]\nhost = "r1-*"\n'
    )
    with alerting(store, rules=rules, alertmanagers=server.url):
        lay(link, [failure(now_us(), host=f"r2-{n}") for n in range(5)] + [failure(now_us(), host="r1-1")])
        lay(link, [failure(now_us(), fingerprint="v1:mark")])
        eventually(lambda: link.execute("select count(*) from problems").fetchone() == (2,))
        assert link.execute("select count(*) from alerts").fetchone() == (0,)
        lay(link, [failure(now_us(), host="r1-2")])
        (alert,) = eventually(lambda: of_rule(server, "rack"))
    assert "2 failures on 2 servers of 1 project since" in alert["annotations"]["summary"]
    assert alert["annotations"]["hosts"] == "2"


def test_by_default_requests_that_stall_are_told_with_what_that_was_concluded_from(manager, store, link):
    server, _ = manager
    told = {
        "request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()), "request_id": "req-1", "action": "resize",
        "outcome": "STALLED", "reason": "No news.", "evidence": "no news from cmp-7 since noon", "started_at": now_us(),
    }  # fmt: skip
    with alerting(store, alertmanagers=server.url):
        lay(
            link,
            [],
            [published(told, kind="outcome"), published({**told, "outcome": "FAILED"}, kind="outcome", revision=2)],
        )
        (alert,) = eventually(lambda: of_rule(server, "stalled-request"))
    assert alert["labels"]["action"] == "resize"
    assert alert["annotations"]["reason"] == "no news from cmp-7 since noon"
    assert alert["annotations"]["failures"] == "1"
    assert alert["annotations"]["examples"] == f"req-1 (server {told['instance_uuid']})"
    assert alert["annotations"]["summary"].startswith("1 resize request is not heard of since ")


def test_a_resolved_problem_regresses_by_the_time_of_the_failure(store, link):
    with alerting(store):
        lay(link, [failure(now_us())])
        eventually(lambda: link.execute("select state from problems").fetchone() == ("OPEN",))
        link.execute("update problems set state = 'RESOLVED', resolved_at = now()")
        lay(link, [failure(now_us() - 60_000_000)])  # happened before it was resolved, came after
        lay(link, [failure(now_us(), fingerprint="v1:mark")])
        eventually(lambda: link.execute("select count(*) from problems").fetchone()[0] == 2)
        assert link.execute("select state from problems where fingerprint = 'v1:binding'").fetchone() == ("RESOLVED",)
        lay(link, [failure(now_us() + 1_000_000)])
        eventually(
            lambda: (
                link.execute("select state from problems where fingerprint = 'v1:binding'").fetchone() == ("REGRESSED",)
            )
        )


def test_rules_are_read_anew_and_wrong_ones_change_nothing(store, link, tmp_path, caplog):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "first"\non = "problem"\n')
    with alerting(store, rules=rules):
        rewrite(rules, "[[rule]]\nname = 3\n")
        eventually(lambda: "The rules read before stay in force" in caplog.text)
        assert f"{rules}: line 1: on: is missing; line 2: name: Input should be a valid string." in caplog.text
        rules.unlink()
        eventually(lambda: f"{rules}: it can't be read: No such file or directory. The rules read" in caplog.text)
        lay(link, [failure(now_us(), fingerprint="v1:meanwhile")])
        eventually(lambda: link.execute("select rule from alerts").fetchall() == [("first",)])
        caplog.set_level("INFO")
        rewrite(rules, '[[rule]]\nname = "second"\non = "problem"\n')
        eventually(lambda: "rules again" in caplog.text)
        lay(link, [failure(now_us())])
        eventually(lambda: link.execute("select rule from alerts where rule <> 'first'").fetchall() == [("second",)])


def test_two_alerters_tell_once(store, link):
    started = threading.Event()
    with alerting(store), alerting(store):
        started.set()
        lay(link, [failure(now_us()) for _ in range(50)])
        eventually(lambda: (link.execute("select sum(failures) from alerts").fetchone()[0] or 0) >= 50)
        time.sleep(0.5)
    assert link.execute("select sum(failures) from alerts where rule = 'new-problem'").fetchone() == (50,)


def test_what_requests_came_to_is_one_alert_for_each_outcome_and_a_correction_no_other_request(store, link, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "ended"\non = "outcome"\nmatch.outcome = ["FAILED", "RECOVERED"]\n')
    requests = [
        {"request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()), "request_id": f"req-{number}",
         "action": "resize", "outcome": outcome, "reason": "No valid host.", "started_at": now_us()}
        for number, outcome in enumerate(["FAILED", "FAILED", "RECOVERED", "SUCCEEDED", "STALLED", "CANCELLED"])
    ]  # fmt: skip
    with receiver() as told, alerting(store, webhooks=True, rules=rules, webhook_networks="127.0.0.0/8"):
        subscriptions.add(link, told.url, kinds=["alert"])
        lay(link, [], [published(item, kind="outcome") for item in requests])
        eventually(lambda: len(told.posts) == 2)
        lay(link, [], [published({**requests[0], "reason": "Another."}, kind="outcome", revision=2)])
        lay(link, [], [published({**requests[2], "outcome": "FAILED"}, kind="outcome", revision=2)])
        counts = "select problem, failures from alerts order by problem"
        eventually(lambda: link.execute(counts).fetchall() == [("failed:resize", 3), ("recovered:resize", 1)])
    assert len(told.posts) == 2
    summaries = [body["data"]["annotations"]["summary"] for body in told.bodies()]
    assert sorted(text.partition(" since")[0] for text in summaries) == [
        "1 resize request failed at first and then worked",
        "2 resize requests failed",
    ]
