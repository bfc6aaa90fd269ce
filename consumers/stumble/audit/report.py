"""What an audit found, and what it left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from stumble.wire.errors import StumbleError

#: What to do where records can't be read.
READING_REMEDY = "Run it with the release, the schema registry and the public keys of the projectors."


class RepairRefusedError(StumbleError):
    """A repair could delete what it can't read, or store what the projector rejects: nothing was changed."""


@dataclass(slots=True)
class ChunkResult:
    """The result of comparing some instances."""

    instances: int = 0
    requests: int = 0
    failures: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    differences: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class AuditReport:
    """The figures of an audit; the differences themselves stay in the session's `audit_differences`."""

    topic: str
    since: str | None = None
    until: str | None = None
    instance: str | None = None
    records: int = 0
    #: Records that can't be read, and those of them that the dead letter topic has.
    unreadable: int = 0
    dead_letters: int = 0
    #: Records of the topics of failures and outcomes.
    published: int = 0
    instances: int = 0
    requests: int = 0
    failures: int = 0
    seconds: float = 0.0
    #: Kind and subject to number.
    differences: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Reason to number: requests and events that are not compared.
    left_out: dict[str, int] = field(default_factory=dict)
    #: Kind to number of decisions, which are not checked.
    decisions: dict[str, int] = field(default_factory=dict)
    #: Host to the numbers of events that its outboxes refused and its broker rejected: they never were in the topic.
    refused: dict[str, dict[str, int]] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    #: How many events and records could not be judged, and why the first one could not.
    unjudged: int = 0
    unjudged_reason: str = ""
    #: Whether records are signed, but were not verified.
    unverified: bool = False

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def total(self) -> int:
        """How many things differ."""
        return sum(count for kinds in self.differences.values() for count in kinds.values())

    def add(self, result: ChunkResult) -> None:
        """Add the figures of a chunk."""
        self.instances += result.instances
        self.requests += result.requests
        self.failures += result.failures
        for why, count in result.left_out.items():
            self.leave_out(why, count)
        for kind, count in result.decisions.items():
            self.decisions[kind] = self.decisions.get(kind, 0) + count

    def leave_out(self, why: str, count: int = 1) -> None:
        """Count what is not compared, by reason."""
        if count:
            self.left_out[why] = self.left_out.get(why, 0) + count

    def leave_unjudged(self, what: str, count: int, reason: str | None) -> None:
        """Count what can't be judged, since this program can't read it; `reason`: of one of them."""
        self.leave_out(what, count)
        self.unjudged += count
        self.unjudged_reason = self.unjudged_reason or (reason or "").rstrip(".")

    def require_judged(self) -> None:
        """Raise `RepairRefusedError` if a repair could be wrong, because records can't be read or were not verified."""
        if self.unjudged:
            raise RepairRefusedError(
                f"Nothing was changed, because {self.unjudged:,} events or records cannot be read here (one of them: "
                f"{self.unjudged_reason}). {READING_REMEDY}"
            )
        if self.unverified:
            raise RepairRefusedError(
                "Nothing was changed, because the records are signed and this host has no public keys, so forged "
                "events would be added: set STUMBLE_KAFKA__PUBLIC_KEYS_FILE as on the hosts of the projectors."
            )

    def add_difference(self, kind: str, what: str, count: int = 1) -> None:
        """Count differences."""
        kinds = self.differences.setdefault(kind, {})
        kinds[what] = kinds.get(what, 0) + count

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return {
            "topic": self.topic,
            "since": self.since,
            "until": self.until,
            "instance": self.instance,
            "equal": self.equal,
            "records": self.records,
            "unreadable": self.unreadable,
            "unjudged": self.unjudged,
            "dead_letters": self.dead_letters,
            "published": self.published,
            "instances": self.instances,
            "requests": self.requests,
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.records / self.seconds, 1) if self.seconds else None,
            "differences": self.differences,
            "left_out": self.left_out,
            "decisions": self.decisions,
            "refused": self.refused,
            "repaired": self.repaired,
        }
