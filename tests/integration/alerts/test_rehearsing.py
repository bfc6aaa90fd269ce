"""`stumble alerts test` says of real history what rules would have sent."""

import json
import uuid

from tests.integration.alerts.conftest import failure, lay, published
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


def test_failures_and_outcomes_of_the_store_are_rehearsed_and_a_correction_is_no_other_request(store, link, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    ended = [
        {"request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()), "action": "resize", "outcome": outcome,
         "owner_project_id": "p1"}
        for outcome in ("FAILED", "FAILED", "STALLED", "SUCCEEDED", "CANCELLED")
    ]  # fmt: skip
    lay(link, [failure(now_us() - 60_000_000)], [published(item, kind="outcome") for item in ended])
    again = {**ended[0], "reason": "Another."}
    lay(link, [], [published(again, kind="outcome", revision=2)])
    lay(link, [], [published({**ended[2], "outcome": "RECOVERED"}, kind="outcome", revision=2)])
    told = stumble("alerts", "test", str(rules), "--since", "1h", "--format", "json", STUMBLE_DATABASE_URL=store)
    assert told.returncode == 0, told.stderr
    assert sorted((item["rule"], item["problem"], item["failures"]) for item in json.loads(told.stdout)) == [
        ("ended", "failed:resize", 2),
        ("ended", "recovered:resize", 1),
        ("new", "v1:binding", 1),
        ("stalled", "stalled:resize", 1),
    ]
    shown = stumble("alerts", "test", str(rules), STUMBLE_DATABASE_URL=store).stdout
    for about in ("resize FAILED", "resize RECOVERED", "resize STALLED", "create PortBindingFailed"):
        assert about in shown
