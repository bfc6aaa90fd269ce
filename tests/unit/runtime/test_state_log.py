"""Changes of state in the log."""

from __future__ import annotations

import logging

from stumble.runtime.state_log import StateLog


def test_state_is_logged_only_when_it_changes(caplog):
    state_log = StateLog(logging.getLogger("stumble.test"))
    for _ in range(3):
        state_log.say("store", "gone")
    state_log.over("store", "back")
    state_log.over("store", "back")
    assert [record.message for record in caplog.records] == ["gone", "back"]
