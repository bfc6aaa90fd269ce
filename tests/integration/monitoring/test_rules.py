"""The alert rules pass their unit tests, and each has a runbook entry."""

import shutil
import subprocess

import pytest
import yaml

from tests.support.services import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((FOLDER / "stumble.rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
TESTS = yaml.safe_load((FOLDER / "stumble.rules.test.yml").read_text())["tests"]


def promtool(*arguments):
    if shutil.which("promtool") is None:
        pytest.skip("promtool isn't installed: apt-get install prometheus")
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_valid():
    promtool("check", "rules", "stumble.rules.yml")


def test_rules_pass_their_unit_tests():
    promtool("test", "rules", "stumble.rules.test.yml")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_a_firing_and_a_quiet_case_and_a_runbook_entry(alert):
    name = alert["alert"]
    cases = [case for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == name]
    assert {bool(case["exp_alerts"]) for case in cases} == {True, False}
    assert f"\n## {name}\n" in (ROOT / "docs" / "runbooks.md").read_text()
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    assert alert["labels"]["severity"] in {"warning", "critical"}
