"""Stories: parsing of their text, and consistency of each story."""

from __future__ import annotations

import pytest

from stumble.simulator.causes import POOLS
from stumble.simulator.parser import all_stories, parse_stories
from stumble.simulator.story import Story, StoryError

GOOD = """
story stop.fails weight=2 leaves=same   # a comment
  request stop FAILED effect=NONE failures=a
  cause a power_off
  api action_start
  host + compute_stop_instance
  host instance.power_off.start task=powering-off
  host fault !a wait=0.8
  host - compute_stop_instance !a
  host exception !a
"""


@pytest.mark.parametrize("story", all_stories(), ids=lambda story: story.name)
def test_every_story_is_consistent(story: Story) -> None:
    assert {cause.pool for cause in story.causes if not cause.unraised} <= set(POOLS)
    for index, request in enumerate(story.requests):
        assert request.outcome in {"SUCCEEDED", "RECOVERED", "FAILED", "CANCELLED"}
        assert any(signal.request == index for signal in story.signals)
        assert any(signal.name == "action_start" and signal.request == index for signal in story.signals)
        assert bool(request.failures) == (request.outcome in {"FAILED", "RECOVERED"})
        assert all(story.cause(key) for key in request.failures)
        assert request.verdict is None or any(cause.pool == request.verdict for cause in story.causes)


def test_story_names_are_unique_and_most_actions_have_a_story() -> None:
    names = [story.name for story in all_stories()]
    assert len(names) == len(set(names))
    assert len({request.action for story in all_stories() for request in story.requests}) >= 30


def test_story_text_is_parsed_into_signals() -> None:
    (story,) = parse_stories(GOOD)
    assert [(signal.role, signal.name, signal.phase) for signal in story.signals] == [
        ("api", "action_start", "START"),
        ("host", "event_start", "START"),
        ("host", "instance.power_off", "START"),
        ("host", "fault", "ERROR"),
        ("host", "event_finish", "ERROR"),
        ("host", "exception", "ERROR"),
    ]
    assert story.fails
    assert story.place_of("a") == "host"


def test_plain_line_gives_a_successful_and_a_failing_story() -> None:
    good, bad = parse_stories(
        "plain stop compute_stop_instance instance.power_off power_off weight=1 leaves=stopped effect=NONE"
    )
    assert (good.name, bad.name) == ("stop", "stop.fails")
    assert (good.fails, bad.fails) == (False, True)
    assert (good.leaves, bad.leaves) == ("stopped", "same")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host + step", "line 1: text before the first story"),
        ("story a\n moon action_start", "line 2"),
        ("story a\n request stop SUCCEEDED\n host fault !x", "causes declared"),
        ("story a\n request stop SUCCEEDED\n cause x build", "causes declared"),
        ("story a\n request stop SUCCEEDED\n host action_start req=1", "not declared"),
        ("plain stop compute_stop_instance", "line 1: plain needs"),
        ("story a\n host", "line 2"),
    ],
)
def test_invalid_text_is_reported_with_its_line(text: str, message: str) -> None:
    with pytest.raises(StoryError, match=message):
        parse_stories(text)
