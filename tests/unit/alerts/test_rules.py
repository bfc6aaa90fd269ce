"""Rules: every mistake is named with its line; what ships is sound; a rehearsal does what the rules say."""

from datetime import UTC, datetime, timedelta

import pytest

from stumble.consumers.alerts.rehearsal import rehearse
from stumble.consumers.alerts.rules import RulesError, load_rules, parse_rules

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


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('[[rule]]\nname = "a"\non = "sometimes"\n', "line 3: on: Input should be"),
        ('[[rule]]\nname = "a"\non = "failure"\nquiet = "soon"\n', "line 4: quiet: write a number"),
        ('[[rule]]\nname = "a"\non = "failure"\n\n[[rule]]\nname = "b c"\non = "problem"\n', "line 6: name:"),
        ('[[rule]]\nname = "a"\non = "failure"\nwindow = "5m"\n', "line 1: rule: window, failures"),
        ('[[rule]]\nname = "a"\non = "spread"\n', "needs instances or projects"),
        ('[[rule]]\nname = "a"\non = "failure"\n[rule.match]\ncolour = "red"\n', "line 5: match.colour"),
        ('[[rule]]\nname = "a"\non = "failure"\n[rule.labels]\nseverity = "x"\n', "set by stumble itself"),
        ('[[rule]]\nname = "a"\non = "failure"\n[[rule]]\nname = "a"\non = "failure"\n', "two rules are called a"),
        ("[[rule]\n", "line 1"),
        ("rules = 3\n", "rules: Extra inputs"),
    ],
)
def test_mistakes_have_a_line_and_a_reason(text, mistake):
    with pytest.raises(RulesError, match="can't be used") as caught:
        parse_rules(text, "my.toml")
    assert mistake in str(caught.value)


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
    assert (alert.starts_at, alert.failures) == (START + timedelta(minutes=2), 2)
