"""Counts dead letters by stage and reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from stumble.outcome.fingerprint import normalise_message

if TYPE_CHECKING:
    from stumble.deadletters.dead_letter import RecordId
    from stumble.deadletters.service import ListedDeadLetter

#: Further reasons are counted as `other`, so that memory stays small for a topic of any size.
MAX_REASONS = 500
OTHER = "other"


class Reason(NamedTuple):
    """Stage, exception class and message without its varying parts."""

    stage: str
    exception: str
    message: str


@dataclass(slots=True)
class DeadLetterGroup:
    """The dead letters of one reason; times in milliseconds."""

    count: int = 0
    states: Counter[str] = field(default_factory=Counter)
    outlooks: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    partitions: Counter[int] = field(default_factory=Counter)
    first_at: int | None = None
    last_at: int | None = None
    example: RecordId | None = None

    def add(self, entry: ListedDeadLetter) -> None:
        """Count one dead letter."""
        dead_letter = entry.dead_letter
        self.count += 1
        self.states[entry.state] += 1
        self.outlooks[entry.seen.outlook] += 1
        if dead_letter.origin is not None:
            self.partitions[dead_letter.origin.partition] += 1
        if entry.seen.action is not None:
            _capped(self.actions, entry.seen.action)
        self.first_at = dead_letter.at if self.first_at is None else min(self.first_at, dead_letter.at)
        self.last_at = dead_letter.at if self.last_at is None else max(self.last_at, dead_letter.at)
        self.example = dead_letter.record_id


@dataclass(slots=True)
class DeadLetterStats:
    """Groups by reason, and all of them together."""

    total: DeadLetterGroup = field(default_factory=DeadLetterGroup)
    groups: dict[Reason, DeadLetterGroup] = field(default_factory=dict)

    def add(self, entry: ListedDeadLetter) -> None:
        """Count one dead letter."""
        dead_letter = entry.dead_letter
        reason = Reason(
            dead_letter.stage or OTHER, dead_letter.short_exception or OTHER, normalise_message(dead_letter.reason)
        )
        if reason not in self.groups and len(self.groups) >= MAX_REASONS:
            reason = Reason(OTHER, OTHER, OTHER)
        self.groups.setdefault(reason, DeadLetterGroup()).add(entry)
        self.total.add(entry)

    def by_count(self) -> list[tuple[Reason, DeadLetterGroup]]:
        """Return the groups, the largest first."""
        return sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0]))


def _capped(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MAX_REASONS else OTHER] += 1
