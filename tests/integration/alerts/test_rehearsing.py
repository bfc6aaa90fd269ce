"""`stumble alerts test` lists the alerts that rules would have sent for the history in the store."""

import json
import uuid

from tests.integration.alerts.conftest import failure, insert_failures, publication
from tests.integration.alerts.test_alertmanager import now_us
from tests.support.command import stumble

RULES = """
[[rule]]
name = "new"
on = "problem"

[[rule]]
name = "stalled"
on = "stalled"

[[rule]]
name = "ended"
on = "outcome"
match.outcome = ["FAILED", "RECOVERED"]
"""


def test_failures_and_outcomes_are_rehearsed_and_a_corrected_request_counts_once(store, connection, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    ended = [
        {"request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()), "action": "resize", "outcome": outcome,
         "owner_project_id": "p1"}
        for outcome in ("FAILED", "FAILED", "STALLED", "SUCCEEDED", "CANCELLED")
    ]  # fmt: skip
    insert_failures(connection, [failure(now_us() - 60_000_000)], [publication(item, kind="outcome") for item in ended])
    corrected = {**ended[0], "reason": "Another."}
    insert_failures(connection, [], [publication(corrected, kind="outcome", revision=2)])
    insert_failures(connection, [], [publication({**ended[2], "outcome": "RECOVERED"}, kind="outcome", revision=2)])
    result = stumble("alerts", "test", str(rules), "--since", "1h", "--format", "json", STUMBLE_DATABASE_URL=store)
    assert result.returncode == 0, result.stderr
    assert sorted((item["rule"], item["problem"], item["failures"]) for item in json.loads(result.stdout)) == [
        ("ended", "failed:resize", 2),
        ("ended", "recovered:resize", 1),
        ("new", "v1:binding", 1),
        ("stalled", "stalled:resize", 1),
    ]
    output = stumble("alerts", "test", str(rules), STUMBLE_DATABASE_URL=store).stdout
    for about in ("resize FAILED", "resize RECOVERED", "resize STALLED", "create PortBindingFailed"):
        assert about in output
