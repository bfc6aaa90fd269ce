"""Managing problems and subscriptions: by command, over HTTP, in the store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support import command
from tests.support.api_fixtures import running_api
from tests.support.asking import get
from tests.support.command import CommandResult
from tests.support.rows import Store

NOW = datetime.now(UTC)


def stumble(*arguments: str, api: str) -> CommandResult:
    return command.stumble(*arguments, STUMBLE_API_URL=api)


def problem(store: Store, fingerprint: str, **given: object) -> None:
    values = {"exception": "PortBindingFailed", "blame": "DEPENDENCY", "reason": "no port"}
    store.insert("problems", fingerprint=fingerprint, **{"first_at": NOW, "last_at": NOW, **values, **given})


@pytest.fixture(autouse=True)
def no_problems_and_subscriptions(store: Store) -> None:
    store.connection.execute("truncate problems, subscriptions cascade")


def states(api: str, *arguments: str) -> dict[str, str]:
    result = stumble("problems", "ls", "--format", "json", *arguments, api=api)
    assert result.returncode == 0, result.stderr
    return {item["fingerprint"]: item["state"] for item in json.loads(result.stdout)}


def test_problem_is_new_ongoing_regressed_resolved_or_muted(store: Store, api: str) -> None:
    problem(store, "v1:new")
    problem(store, "v1:old", first_at=NOW - timedelta(days=2))
    for fingerprint in ("v1:new", "v1:old"):
        store.failure(store.request(), fingerprint=fingerprint)
    problem(store, "v1:back", first_at=NOW - timedelta(days=2), state="REGRESSED")
    assert states(api) == {"v1:new": "NEW", "v1:old": "ONGOING", "v1:back": "REGRESSED"}
    assert states(api, "--state", "ongoing") == {"v1:old": "ONGOING"}
    assert stumble("problems", "resolve", "v1:old", "--note", "drained [/b]\x1b[2J", api=api).returncode == 0
    assert stumble("problems", "mute", "v1:new", "--for", "3d", api=api).returncode == 0
    assert states(api) == {"v1:old": "RESOLVED", "v1:back": "REGRESSED"}
    assert states(api, "--muted")["v1:new"] == "MUTED"
    assert states(api, "--state", "muted") == {"v1:new": "MUTED"}
    assert stumble("problems", "unmute", "v1:new", api=api).returncode == 0
    assert stumble("problems", "reopen", "v1:old", api=api).returncode == 0
    assert states(api) == {"v1:new": "NEW", "v1:old": "ONGOING", "v1:back": "REGRESSED"}
    assert "drained [/b]\N{REPLACEMENT CHARACTER}[2J" in stumble("problems", "show", "v1:old", api=api).stdout


def test_problem_has_counts_and_failures_by_hour(store: Store, api: str) -> None:
    problem(store, "v1:wide")
    now = datetime.now(UTC)
    for number in range(3):
        store.failure(
            store.request(owner_project_id=f"p{number % 2}", action="reboot" if number else "stop"),
            fingerprint="v1:wide",
            host=f"host-{number}",
            occurred_at=now - timedelta(hours=number),
        )
    (item,) = get(f"{api}/v1/problems").json()["items"]
    counts = [item[name] for name in ("failures", "instances", "projects", "hosts", "actions")]
    assert counts == [3, 3, 2, 3, 2]
    detail = get(f"{api}/v1/problems/v1:wide").json()
    assert detail["by_action"] == [{"value": "reboot", "failures": 2}, {"value": "stop", "failures": 1}]
    assert detail["by_project"] == [{"value": "p0", "failures": 2}, {"value": "p1", "failures": 1}]
    assert [one["value"] for one in detail["by_host"]] == ["host-0", "host-1", "host-2"]
    hours = detail["hours"]
    assert (len(hours), sum(hours)) == (24, 3)
    assert [1, 1, 1] in (hours[-3:], hours[-4:-1]), "the second if a new hour has begun"
    shown = stumble("problems", "show", "v1:wide", api=api).stdout
    assert "█" in shown
    assert "reboot (2), stop (1)" in shown
    assert "PortBindingFailed: no port" in stumble("problems", "ls", api=api).stdout
    listed = get(f"{api}/v1/failures?problem=v1:wide").json()["items"]
    assert len(listed) == 3
    assert get(f"{api}/v1/failures?problem=v1:none").json()["items"] == []
    assert len(json.loads(stumble("failures", "--problem", "v1:wide", "--format", "json", api=api).stdout)) == 3


def test_problem_whose_failures_are_gone_is_listed_only_while_an_operator_has_set_its_state(
    store: Store, api: str
) -> None:
    problem(store, "v1:gone")
    problem(store, "v1:resolved", state="RESOLVED")
    assert states(api) == {"v1:resolved": "RESOLVED"}
    assert stumble("problems", "mute", "v1:gone", api=api).returncode == 0
    assert states(api, "--muted") == {"v1:gone": "MUTED", "v1:resolved": "RESOLVED"}


def test_unknown_problem_is_one_sentence(store: Store, api: str) -> None:
    unknown = stumble("problems", "show", "v1:none", api=api)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
    assert "There is no problem v1:none." in unknown.stderr
    assert stumble("problems", "ls", "--state", "broken", api=api).returncode != 0
    assert stumble("problems", "ls", api=api).stdout == "No problems match.\n"


def test_subscription_can_be_added_tested_rotated_and_removed(store: Store, api: str) -> None:
    created = stumble("subscriptions", "add", "https://hooks.example.org/nova", "--match", "blame=OPERATOR", api=api)
    assert created.returncode == 0, created.stderr
    assert "whsec_" in created.stdout
    (item,) = get(f"{api}/v1/subscriptions").json()["items"]
    assert "whsec_" not in json.dumps(item), "a secret is shown only once"
    assert item["match"]["blame"] == ["OPERATOR"]
    listed = stumble("subscriptions", "ls", api=api).stdout
    assert "hooks.example.org" in listed
    assert stumble("subscriptions", "test", item["id"], api=api).returncode == 0
    assert store.connection.execute("select count(*) from deliveries").fetchone() == (1,)
    assert "whsec_" in stumble("subscriptions", "rotate", item["id"], api=api).stdout
    assert stumble("subscriptions", "rm", item["id"], api=api).returncode == 0
    assert get(f"{api}/v1/subscriptions").json()["items"] == []
    wrong = stumble("subscriptions", "add", "ftp://example.org", api=api)
    assert (wrong.returncode != 0, wrong.stderr.count("\n")) == (True, 1)


def test_subscription_without_a_key_is_rejected_with_one_sentence(store: Store) -> None:
    with running_api(store.url, STUMBLE_SUBSCRIPTION_KEYS="") as api:
        refused = stumble("subscriptions", "add", "https://hooks.example.org/nova", api=api)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "STUMBLE_SUBSCRIPTION_KEYS" in refused.stderr
        assert get(f"{api}/v1/subscriptions").json()["items"] == []


def test_subscription_to_alerts_has_rules_and_severities(store: Store, api: str) -> None:
    address = "https://hooks.example.org/oncall"
    chosen = ("--kind", "alert", "--rule", "spread*", "--severity", "critical")
    created = stumble("subscriptions", "add", address, *chosen, api=api)
    assert created.returncode == 0, created.stderr
    (item,) = get(f"{api}/v1/subscriptions").json()["items"]
    assert (item["kinds"], item["rules"], item["severities"]) == (["alert"], ["spread*"], ["critical"])
    listed = " ".join(stumble("subscriptions", "ls", api=api).stdout.split())
    assert "rule=spread*" in listed
    delivered_alert = {"rule": "spreading", "status": "firing", "labels": {"action": "create"}}
    store.connection.execute(
        "insert into deliveries (subscription_id, message_id, alert) values (%s, gen_random_uuid(), %s)",
        (item["id"], json.dumps(delivered_alert)),
    )
    (logged,) = get(f"{api}/v1/subscriptions/{item['id']}/deliveries").json()["items"]
    assert logged["alert"] == {"rule": "spreading", "status": "firing"}
    assert "spreading firing" in " ".join(stumble("subscriptions", "log", item["id"], api=api).stdout.split())
    wrong = stumble("subscriptions", "add", address, "--severity", "critical", api=api)
    assert (wrong.returncode != 0, wrong.stderr.count("\n")) == (True, 1)
    assert "add the kind alert" in wrong.stderr
