"""What a scenario is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """A script (see :mod:`dsl`), what is expected by every way, and by the ways that know less."""

    name: str
    script: str
    expected: dict[str, str]
    but: dict[str, dict[str, str]] = field(default_factory=dict)
