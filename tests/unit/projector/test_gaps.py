"""Offsets that are passed over: believed only when the topic says the same again, and asked anew until it does."""

from __future__ import annotations

import pytest

from stumble.projector.loop import Projector
from stumble.projector.settings import ProjectorSettings
from stumble.settings.base import load
from tests.support.events import event, framed
from tests.support.projection import FakeRecord


class Told(FakeRecord):
    def error(self):
        return None


@pytest.fixture
def projector(tmp_path, monkeypatch):
    settings = load(
        database_url="postgresql://127.0.0.1:1/none", kafka={"bootstrap_servers": "127.0.0.1:9"}, state_dir=tmp_path
    )
    made = Projector(settings, ProjectorSettings())
    made.sought = []
    monkeypatch.setattr(made._source, "go_to", lambda partition, taken, _: made.sought.append(taken[partition]))
    made._at.place(0, 100)
    return made


def records(*offsets):
    return [Told(framed(event(request_id=f"req-{offset}")), (0, offset)) for offset in offsets]


def test_what_is_told_twice_is_believed(projector):
    projector._read(records(105, 106))
    assert (projector.sought, projector._at.taken[0]) == ([100], 100)
    projector._read(records(105, 106))
    assert (projector.sought, projector._at.taken[0]) == ([100], 107)


def test_another_gap_at_the_second_look_is_asked_again(projector):
    projector._read(records(200, 201, 202))
    projector._read(records(105, 106))
    assert (projector.sought, projector._at.taken[0]) == ([100, 100], 100)
    projector._read(records(105, 106))
    assert projector._at.taken[0] == 107


def test_what_was_there_after_all_is_taken(projector):
    projector._read(records(105))
    projector._read(records(100, 101))
    assert projector._at.taken[0] == 102
