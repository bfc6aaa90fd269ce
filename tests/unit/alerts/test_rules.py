"""Rules: every mistake is named with its line; what ships is sound; a rehearsal does what the rules say."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from stumble.alerts.rehearsal import rehearse
from stumble.alerts.rules import RulesError, load_rules, parse_rules
from tests.support.services import cli_environment

START = datetime(2026, 1, 1, tzinfo=UTC)
PAYLOAD = {
    "action": "create", "exception": "PortBindingFailed", "blame": "DEPENDENCY", "owner_project_id": "p1",
    "host": "compute-1", "effect": "ERROR",
}  # fmt: skip


def rule(text):
    return parse_rules(f'[[rule]]\nname = "r"\n{text}', "rules").rule[0]


def test_rules_that_ship_are_sound_and_quiet_about_users():
    book = load_rules(None)
    assert book.rule
    assert book.warnings(alertmanager=True) == []
    for item in book.rule:
        assert not item.match.fits({**PAYLOAD, "blame": "USER"}) or item.on == "stalled"
    assert any(item.match.fits(PAYLOAD) for item in book.rule)


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
def test_match(match, fits):
    assert rule(f'on = "failure"\n[rule.match]\n{match}').match.fits(PAYLOAD) is fits


RULE = '[[rule]]\nname = "a"\non = "failure"\n'
ENDED = '[[rule]]\nname = "a"\non = "outcome"\nmatch.outcome = '


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('[[rule]]\nname = "a"\non = "sometimes"\n', "line 3: on: Input should be"),
        (RULE + 'quiet = "soon"\n', "line 4: quiet: 'soon' is not a valid duration"),
        (RULE + '\n[[rule]]\nname = "b c"\non = "problem"\n', "line 6: name:"),
        (RULE + 'window = "5m"\n', "line 4: window: belongs to on = 'spread'"),
        ('[[rule]]\nname = "a"\non = "spread"\n', "line 3: on: 'spread' needs instances or projects"),
        (RULE + '[rule.match]\ncolour = "red"\n', "line 5: match.colour: nobody reads this"),
        (RULE + 'match = { hosts = "c1" }\n', "line 4: match.hosts: nobody reads this; did you mean host?"),
        (RULE + 'match.blame = "OPERATR"\n', "line 4: match.blame: OPERATR fits none of USER, CAPACITY"),
        (RULE + '[rule.match]\neffect = ["NONE", "BROKEN"]\n', "line 5: match.effect: BROKEN fits none"),
        (RULE + '[rule.match]\noutcome = "FAILED"\n', "line 5: match.outcome: belongs to on = 'outcome'"),
        ('[[rule]]\nname = "a"\non = "outcome"\n', "line 3: on: 'outcome' needs match.outcome, some of RECOVERED"),
        (
            ENDED + '"SUCCEEDED"\n',
            "line 4: match.outcome: SUCCEEDED fits none of RECOVERED, FAILED",
        ),
        (ENDED + '"FAILED"\nmatch.host = "c1"\n', "line 5: match.host: on = 'outcome' speaks of requests"),
        (
            '[[rule]]\nname = "a"\non = "stalled"\n[rule.match]\naction = "stop"\nhost = "c*"\n',
            "line 6: match.host: on = 'stalled' speaks of requests",
        ),
        (RULE + '[rule.labels]\nteam = "x"\nseverity = "x"\n', "line 6: labels.severity: stumble sets this"),
        (RULE + '[rule.labels]\n"my-team" = "x"\n', "line 5: labels.my-team: "),
        (RULE + RULE, "line 5: name: two rules are called a"),
        ('[[rule]]\non = "failure"\n', "line 1: name: is missing"),
        ("[[rule]\n", "line 1: Expected"),
        ("\nrules = 3\n", "line 2: rules: nobody reads this"),
        ("rule = 3\n", "line 1: rule: every rule begins with [[rule]]"),
    ],
)
def test_mistakes_have_a_line_and_a_reason(text, mistake):
    with pytest.raises(RulesError, match="can't be used") as caught:
        parse_rules(text, "my.toml")
    assert mistake in str(caught.value)


def test_every_mistake_of_a_file_is_told_in_the_order_of_its_lines():
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


def test_an_action_that_nova_has_not_is_told_and_taken():
    book = parse_rules(RULE + '[rule.match]\naction = ["live_migration", "cre*"]\n', "rules")
    assert book.warnings(alertmanager=False) == ["a: Nova has no action live_migration; did you mean live-migration?"]


def test_patterns_mean_the_same_in_the_database():
    likes = rule('on = "failure"\n[rule.match]\nhost = ["c?[1]_*", "50%"]').match.likes()
    assert likes == {
        "project": None, "host": [r"c_[1]\_%", r"50\%"], "availability_zone": None, "cell": None, "region": None,
        "blame": None, "effect": None,
    }  # fmt: skip
    match = rule('on = "failure"\n[rule.match]\nhost = "c?[1]_*"').match
    assert match.fits({"host": "cx[1]_rest"})
    assert not match.fits({"host": "cx1_rest"})


def test_a_rule_for_each_failure_warns_of_alertmanager(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nname = "each"\non = "failure"\n')
    assert "one alert per problem" in load_rules(path).warnings(alertmanager=True)[0]
    assert load_rules(path).warnings(alertmanager=False) == []
    with pytest.raises(RulesError, match="can't be read"):
        load_rules(tmp_path / "none.toml")


def failure(minute, problem="v1:a", instance="i1", **more):
    at = START + timedelta(minutes=minute)
    return {**PAYLOAD, "occurred_at": at, "fingerprint": problem, "instance_uuid": instance, **more}


def rehearsed(text, failures, known=()):
    book = parse_rules(f'[[rule]]\nname = "r"\n{text}', "rules")
    return rehearse(book, failures, known, START + timedelta(days=1))


def test_rehearsal_of_each_failure_is_one_alert_until_it_is_quiet():
    found = rehearsed('on = "failure"\nquiet = "15m"', [failure(0), failure(10), failure(24), failure(60)])
    assert [(item.failures, item.ends_at) for item in found] == [
        (3, START + timedelta(minutes=39)),
        (1, START + timedelta(minutes=75)),
    ]


def test_rehearsal_of_new_problems_knows_the_old_ones():
    failures = [failure(0), failure(1, "v1:b"), failure(2, "v1:b")]
    assert [(item.problem, item.failures) for item in rehearsed('on = "problem"', failures, ["v1:a"])] == [("v1:b", 2)]


def test_rehearsal_of_a_spread_counts_servers_in_the_window():
    spread = 'on = "spread"\nwindow = "5m"\nfailures = 3\ninstances = 2'
    slow = [failure(minute, instance=f"i{minute}") for minute in (0, 6, 12, 18)]
    same = [failure(minute) for minute in (0, 1, 2, 3)]
    fast = [failure(0), failure(1), failure(2, instance="i2"), failure(3)]
    assert rehearsed(spread, slow) == []
    assert rehearsed(spread, same) == []
    (alert,) = rehearsed(spread, fast)
    assert (alert.starts_at, alert.failures, alert.instances) == (START + timedelta(minutes=2), 4, {"i1", "i2"})


def test_rehearsal_counts_what_the_rule_matches_only():
    spread = 'on = "spread"\nwindow = "5m"\nfailures = 2\ninstances = 2\n[rule.match]\nhost = "compute-2"'
    here = [failure(0, instance="i1"), failure(1, instance="i2", host="compute-2")]
    assert rehearsed(spread, here) == []
    (alert,) = rehearsed(spread, [*here, failure(2, instance="i3", host="compute-2")])
    assert (alert.failures, alert.instances) == (2, {"i2", "i3"})


def test_rehearsal_of_a_resolved_problem_tells_of_its_regression_once():
    book = parse_rules('[[rule]]\nname = "r"\non = "problem"\nquiet = "1m"', "rules")
    failures = [failure(0), failure(10), failure(20), failure(30)]
    solved = {"v1:a": START + timedelta(minutes=15)}
    found = rehearse(book, failures, ["v1:a"], START + timedelta(days=1), resolved=solved)
    assert [item.starts_at for item in found] == [START + timedelta(minutes=20)]


def test_rehearsal_of_stalled_requests_is_one_alert_an_action():
    book = parse_rules('[[rule]]\nname = "r"\non = "stalled"\n[rule.match]\navailability_zone = "az1"', "rules")
    stalled = [
        {"occurred_at": START + timedelta(minutes=minute), "action": action, "availability_zone": zone,
         "instance_uuid": f"i{minute}", "owner_project_id": "p", "outcome": "STALLED"}
        for minute, action, zone in [(0, "resize", "az1"), (1, "resize", "az1"), (2, "stop", "az1"), (3, "stop", "az2")]
    ]  # fmt: skip
    found = rehearse(book, [], [], START + timedelta(days=1), outcomes=stalled)
    assert [(item.action, item.failures) for item in found] == [("resize", 2), ("stop", 1)]


def test_rehearsal_of_outcomes_tells_each_outcome_apart():
    book = parse_rules('[[rule]]\nname = "r"\non = "outcome"\n[rule.match]\noutcome = ["FAILED", "REC*"]', "rules")
    ended = [
        {"occurred_at": START + timedelta(minutes=minute), "action": "resize", "instance_uuid": f"i{minute}",
         "owner_project_id": "p", "outcome": outcome}
        for minute, outcome in enumerate(["FAILED", "RECOVERED", "STALLED", "FAILED", "SUCCEEDED"])
    ]  # fmt: skip
    found = rehearse(book, [], [], START + timedelta(days=1), outcomes=ended)
    assert [(item.problem, item.failures) for item in found] == [("failed:resize", 2), ("recovered:resize", 1)]


def test_an_alerter_with_wrong_rules_does_not_start_and_names_file_and_line(tmp_path):
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
    assert ended.stderr.startswith(f"stumble: {rules} can't be used: line 4: quiet: 'soon' is not a valid duration")
    assert ended.stderr.count("\n") == 1
