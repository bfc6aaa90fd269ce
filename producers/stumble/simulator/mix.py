"""The mix of stories: how often each action and each way to fail occurs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import Random

from stumble.simulator.parser import all_stories
from stumble.simulator.story import Story, StoryError


class Pool:
    """Stories with weights for random selection."""

    def __init__(self, stories: Sequence[Story], weights: Mapping[str, float]) -> None:
        self._stories = stories
        self._sums = list(accumulate(weights[story.name] for story in stories))

    def draw(self, rng: Random) -> Story:
        """Return a random story."""
        return rng.choices(self._stories, cum_weights=self._sums)[0]

    def mean_events(self) -> float:
        """Return the mean number of events of a random story."""
        before, total = 0.0, 0.0
        for story, reached in zip(self._stories, self._sums, strict=True):
            total += len(story.signals) * (reached - before)
            before = reached
        return total / before


class Mix:
    """Selects stories: a share `failures` of requests has a failure. `weights` (story or action → weight) overrides.

    Raises:
        StoryError: a weight names no story and no action, or no story has a weight above 0.

    """

    def __init__(self, failures: float, weights: Mapping[str, float] | None = None) -> None:
        self.failures = failures
        stories = all_stories()
        own = _weights_of(stories, weights or {})
        wanted = [story for story in stories if own[story.name] > 0]
        self.good = [story for story in wanted if not story.fails]
        self.bad = [story for story in wanted if story.fails]
        if (failures < 1 and not self.good) or (failures > 0 and not self.bad):
            raise StoryError("No story is left to simulate: set the weight of an action above 0.")
        self._good, self._bad = Pool(self.good, own), Pool(self.bad, own)
        self._by_name = {story.name: story for story in stories}

    def draw(self, rng: Random) -> Story:
        """Return a random story."""
        return (self._bad if rng.random() < self.failures else self._good).draw(rng)

    def named(self, name: str) -> Story:
        """Return the story with this name. Raises KeyError."""
        return self._by_name[name]

    def mean_events(self) -> float:
        """Return the mean number of events of a random request."""
        good = self._good.mean_events() * (1 - self.failures) if self.failures < 1 else 0.0
        bad = self._bad.mean_events() * self.failures if self.failures > 0 else 0.0
        return good + bad


def _weights_of(stories: Sequence[Story], weights: Mapping[str, float]) -> dict[str, float]:
    own = {story.name: story.weight for story in stories}
    for name, weight in weights.items():
        matching = [story.name for story in stories if name in {story.name, story.requests[0].action}]
        if not matching:
            raise StoryError(f"No story and no action is named {name!r}: see `stumble simulate --list`.")
        exact = [name] if name in matching and name not in _actions(stories) else matching
        own.update(dict.fromkeys(exact, weight))
    return own


def _actions(stories: Sequence[Story]) -> set[str]:
    return {story.requests[0].action for story in stories}
