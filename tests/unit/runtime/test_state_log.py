"""Changes of state in the log."""

from __future__ import annotations

import logging

from stumble.runtime.state_log import StateLog


def test_a_state_is_told_when_it_changes(caplog):
    notices = StateLog(logging.getLogger("stumble.test"))
    for _ in range(3):
        notices.say("store", "gone")
    notices.over("store", "back")
    notices.over("store", "back")
    assert [record.message for record in caplog.records] == ["gone", "back"]
