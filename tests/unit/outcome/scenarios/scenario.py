"""The type of a scenario."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """A script (see :mod:`dsl`), the expected summary, and other summaries for ways that report less."""

    name: str
    script: str
    expected: dict[str, str]
    expected_by_way: dict[str, dict[str, str]] = field(default_factory=dict)
