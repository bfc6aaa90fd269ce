"""Alert rules: each mistake is reported with its line, shipped rules are valid, a rehearsal follows the rules."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from stumble.alerts.rehearsal import rehearse_alerts
from stumble.alerts.rules import RulesError, load_rules, parse_rules
from tests.support.services import cli_environment

START = datetime(2026, 1, 1, tzinfo=UTC)
PAYLOAD = {
    "action": "create", "exception": "PortBindingFailed", "blame": "DEPENDENCY", "owner_project_id": "p1",
    "host": "compute-1", "effect": "ERROR",
}  # fmt: skip


def rule(text):
    return parse_rules(f'[[rule]]\nname = "r"\n{text}', "rules").rule[0]


def test_shipped_rules_are_valid_and_ignore_mistakes_of_users():
    rules_file = load_rules(None)
    assert rules_file.rule
    assert rules_file.warnings(alertmanager=True) == []
    for item in rules_file.rule:
        assert not item.match.fits({**PAYLOAD, "blame": "USER"}) or item.on == "stalled"
    assert any(item.match.fits(PAYLOAD) for item in rules_file.rule)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ('action = "create"', True),
        ('action = ["stop", "cre*"]', True),
        ('exception = "Port*"\nblame = "OPERATOR"', False),
        ('project = "p1"\nhost = "compute-?"', True),
        ('availability_zone = "*"', True),
        ('availability_zone = "az1"', False),
    ],
)
def test_match_accepts_lists_and_patterns(match, fits):
    assert rule(f'on = "failure"\n[rule.match]\n{match}').match.fits(PAYLOAD) is fits


RULE = '[[rule]]\nname = "a"\non = "failure"\n'
ENDED = '[[rule]]\nname = "a"\non = "outcome"\nmatch.outcome = '


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('[[rule]]\nname = "a"\non = "sometimes"\n', "line 3: on: Input should be"),
        (RULE + 'quiet = "soon"\n', "line 4: quiet: 'soon' is not a valid duration"),
        (RULE + 'quiet = "999999999w"\n', "line 4: quiet: '999999999w' is too long for a duration"),
        (RULE + "quiet = true\n", "line 4: quiet: True is not a valid duration"),
        (RULE + "quiet = -5\n", "line 4: quiet: Input should be greater than or equal to"),
        (RULE + 'quiet = "0.5s"\n', "line 4: quiet: Input should be greater than or equal to"),
        (RULE + 'quiet = "9999d"\n', "line 4: quiet: Input should be less than or equal to"),
        (RULE + '\n[[rule]]\nname = "b c"\non = "problem"\n', "line 6: name:"),
        (RULE + 'window = "5m"\n', "line 4: window: belongs to on = 'spread'"),
        ('[[rule]]\nname = "a"\non = "spread"\n', "line 3: on: 'spread' needs instances or projects"),
        (RULE + '[rule.match]\ncolour = "red"\n', "line 5: match.colour: unknown key"),
        (RULE + 'match = { hosts = "c1" }\n', "line 4: match.hosts: unknown key; did you mean host?"),
        (RULE + 'match.blame = "OPERATR"\n', "line 4: match.blame: OPERATR fits none of USER, CAPACITY"),
        (RULE + '[rule.match]\neffect = ["NONE", "BROKEN"]\n', "line 5: match.effect: BROKEN fits none"),
        (RULE + '[rule.match]\noutcome = "FAILED"\n', "line 5: match.outcome: belongs to on = 'outcome'"),
        ('[[rule]]\nname = "a"\non = "outcome"\n', "line 3: on: 'outcome' needs match.outcome, some of RECOVERED"),
        (
            ENDED + '"SUCCEEDED"\n',
            "line 4: match.outcome: SUCCEEDED fits none of RECOVERED, FAILED",
        ),
        (ENDED + '"FAILED"\nmatch.host = "c1"\n', "line 5: match.host: on = 'outcome' is about requests"),
        (
            '[[rule]]\nname = "a"\non = "stalled"\n[rule.match]\naction = "stop"\nhost = "c*"\n',
            "line 6: match.host: on = 'stalled' is about requests",
        ),
        (RULE + '[rule.labels]\nteam = "x"\nseverity = "x"\n', "line 6: labels.severity: stumble sets this"),
        (RULE + '[rule.labels]\n"my-team" = "x"\n', "line 5: labels.my-team: "),
        (RULE + RULE, "line 5: name: two rules are called a"),
        ('[[rule]]\non = "failure"\n', "line 1: name: is missing"),
        ("[[rule]\n", "line 1: Expected"),
        ("\nrules = 3\n", "line 2: rules: unknown key"),
        ("rule = 3\n", "line 1: rule: every rule begins with [[rule]]"),
    ],
)
def test_mistake_is_reported_with_line_and_reason(text, mistake):
    with pytest.raises(RulesError, match="cannot be used") as caught:
        parse_rules(text, "my.toml")
    assert mistake in str(caught.value)


def test_all_mistakes_of_a_file_are_reported_in_order_of_lines():
    text = f"""version = 1
{RULE}severity = "bad"
[rule.match]
blame = "NOBODY"
{RULE}
quiet = "never"
{RULE}window = "1h"
projects = 3
[rule.match]
effect = "AWFUL"
colour = "red"
"""
    with pytest.raises(RulesError) as caught:
        parse_rules(text, "my.toml")
    assert [mistake.partition(": ")[2].partition(":")[0] for mistake in caught.value.mistakes] == [
        "version", "severity", "match.blame", "name", "quiet", "name", "window", "projects", "match.effect",
        "match.colour",
    ]  # fmt: skip
    assert [int(mistake.split()[1][:-1]) for mistake in caught.value.mistakes] == [1, 5, 7, 9, 12, 14, 16, 17, 19, 20]
    assert len(str(caught.value).splitlines()) == 11


def test_unknown_action_is_accepted_with_a_warning():
    rules_file = parse_rules(RULE + '[rule.match]\naction = ["live_migration", "cre*"]\n', "rules")
    assert rules_file.warnings(alertmanager=False) == [
        "a: Nova has no action live_migration; did you mean live-migration?"
    ]


def test_patterns_are_translated_to_sql_like_with_the_same_meaning():
    likes = rule('on = "failure"\n[rule.match]\nhost = ["c?[1]_*", "50%"]').match.likes()
    assert likes == {
        "action": None, "project": None, "host": [r"c_[1]\_%", r"50\%"], "availability_zone": None, "cell": None,
        "region": None, "blame": None, "effect": None,
    }  # fmt: skip
    match = rule('on = "failure"\n[rule.match]\nhost = "c?[1]_*"').match
    assert match.fits({"host": "cx[1]_rest"})
    assert not match.fits({"host": "cx1_rest"})


def test_rule_on_each_failure_warns_when_alertmanager_is_used(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nname = "each"\non = "failure"\n')
    assert "one alert per problem" in load_rules(path).warnings(alertmanager=True)[0]
    assert load_rules(path).warnings(alertmanager=False) == []
    with pytest.raises(RulesError, match="cannot be read"):
        load_rules(tmp_path / "none.toml")


def failure(minute, problem="v1:a", instance="i1", **more):
    at = START + timedelta(minutes=minute)
    return {**PAYLOAD, "occurred_at": at, "fingerprint": problem, "instance_uuid": instance, **more}


def rehearse_rule(text, failures, known=()):
    rules_file = parse_rules(f'[[rule]]\nname = "r"\n{text}', "rules")
    return rehearse_alerts(rules_file, failures, known, START + timedelta(days=1))


def test_rehearsal_of_failure_rule_groups_failures_until_the_quiet_time():
    alerts = rehearse_rule('on = "failure"\nquiet = "15m"', [failure(0), failure(10), failure(24), failure(60)])
    assert [(item.failures, item.ends_at) for item in alerts] == [
        (3, START + timedelta(minutes=39)),
        (1, START + timedelta(minutes=75)),
    ]


def test_rehearsal_of_problem_rule_ignores_known_problems():
    failures = [failure(0), failure(1, "v1:b"), failure(2, "v1:b")]
    assert [(item.problem, item.failures) for item in rehearse_rule('on = "problem"', failures, ["v1:a"])] == [
        ("v1:b", 2)
    ]


def test_rehearsal_of_spread_rule_counts_servers_in_the_window():
    spread = 'on = "spread"\nwindow = "5m"\nfailures = 3\ninstances = 2'
    slow = [failure(minute, instance=f"i{minute}") for minute in (0, 6, 12, 18)]
    same = [failure(minute) for minute in (0, 1, 2, 3)]
    fast = [failure(0), failure(1), failure(2, instance="i2"), failure(3)]
    assert rehearse_rule(spread, slow) == []
    assert rehearse_rule(spread, same) == []
    (alert,) = rehearse_rule(spread, fast)
    assert (alert.starts_at, alert.failures, alert.instances) == (START + timedelta(minutes=2), 4, {"i1", "i2"})


def test_rehearsal_counts_only_failures_that_the_rule_matches():
    spread = 'on = "spread"\nwindow = "5m"\nfailures = 2\ninstances = 2\n[rule.match]\nhost = "compute-2"'
    failures_of_two_hosts = [failure(0, instance="i1"), failure(1, instance="i2", host="compute-2")]
    assert rehearse_rule(spread, failures_of_two_hosts) == []
    (alert,) = rehearse_rule(spread, [*failures_of_two_hosts, failure(2, instance="i3", host="compute-2")])
    assert (alert.failures, alert.instances) == (2, {"i2", "i3"})


def test_rehearsed_alert_names_its_action_only_if_all_failures_share_it():
    spread = 'on = "spread"\nfailures = 2\ninstances = 2'
    actions = [failure(0, instance="i1"), failure(1, instance="i2", action="reboot"), failure(2, instance="i3")]
    (alert,) = rehearse_rule(spread, actions)
    assert (alert.action, alert.failures) == (None, 3)
    (alert,) = rehearse_rule(spread + '\n[rule.match]\naction = "create"', actions)
    assert (alert.action, alert.failures) == ("create", 2)


def test_rehearsal_alerts_once_for_the_regression_of_a_resolved_problem():
    rules_file = parse_rules('[[rule]]\nname = "r"\non = "problem"\nquiet = "1m"', "rules")
    failures = [failure(0), failure(10), failure(20), failure(30)]
    resolved_at = {"v1:a": START + timedelta(minutes=15)}
    alerts = rehearse_alerts(rules_file, failures, ["v1:a"], START + timedelta(days=1), resolved=resolved_at)
    assert [item.starts_at for item in alerts] == [START + timedelta(minutes=20)]


def test_rehearsal_of_stalled_rule_makes_one_alert_per_action():
    rules_file = parse_rules('[[rule]]\nname = "r"\non = "stalled"\n[rule.match]\navailability_zone = "az1"', "rules")
    stalled = [
        {"occurred_at": START + timedelta(minutes=minute), "action": action, "availability_zone": zone,
         "instance_uuid": f"i{minute}", "owner_project_id": "p", "outcome": "STALLED"}
        for minute, action, zone in [(0, "resize", "az1"), (1, "resize", "az1"), (2, "stop", "az1"), (3, "stop", "az2")]
    ]  # fmt: skip
    alerts = rehearse_alerts(rules_file, [], [], START + timedelta(days=1), outcomes=stalled)
    assert [(item.action, item.failures) for item in alerts] == [("resize", 2), ("stop", 1)]


def test_rehearsal_of_outcome_rule_makes_one_alert_per_outcome():
    rules_file = parse_rules(
        '[[rule]]\nname = "r"\non = "outcome"\n[rule.match]\noutcome = ["FAILED", "REC*"]', "rules"
    )
    ended = [
        {"occurred_at": START + timedelta(minutes=minute), "action": "resize", "instance_uuid": f"i{minute}",
         "owner_project_id": "p", "outcome": outcome}
        for minute, outcome in enumerate(["FAILED", "RECOVERED", "STALLED", "FAILED", "SUCCEEDED"])
    ]  # fmt: skip
    alerts = rehearse_alerts(rules_file, [], [], START + timedelta(days=1), outcomes=ended)
    assert [(item.problem, item.failures) for item in alerts] == [("failed:resize", 2), ("recovered:resize", 1)]


def test_alerter_with_invalid_rules_exits_and_names_file_and_line(tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULE + 'quiet = "soon"\n')
    environment = cli_environment(
        STUMBLE_ALERTS_RULES=str(rules),
        STUMBLE_DATABASE_URL="postgresql://127.0.0.1:1/none",
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1",
    )
    command = [sys.executable, "-m", "stumble.cli", "alerter"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"stumble: {rules} cannot be used: line 4: quiet: 'soon' is not a valid duration")
    assert ended.stderr.count("\n") == 1
