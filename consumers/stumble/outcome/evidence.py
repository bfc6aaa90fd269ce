"""What a decision was concluded from, in words: for the project's users without names of hosts, for operators with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from stumble.outcome.deadlines import format_duration
from stumble.outcome.records import Decision

#: Values of ``evidence["cause"]``.
DEADLINE: Final = "deadline"
SILENCE: Final = "silence"
RESTART: Final = "restart"
RECEIVED_AGAIN: Final = "received_again"


def moment(micros: int | str) -> str:
    """Return a time as people read it, in whole seconds."""
    return datetime.fromtimestamp(int(micros) // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def reason(decision: Decision) -> str:
    """Return what a project's user reads of a request that is stalled."""
    evidence = decision.evidence
    if evidence.get("cause") == SILENCE:
        return f"No news since {moment(evidence['last'])}: nothing is heard of the host that works on it."
    if evidence.get("cause") == DEADLINE:
        action = evidence.get("action") or "such a request"
        return (
            f"No news since {moment(evidence['last'])}, longer than the {format_duration(float(evidence['deadline']))} "
            f"for which {action} may be silent."
        )
    return "There is no news of it."


def proof(decision: Decision) -> str | None:
    """Return what operators read of a decision; None where it does not say what it was made upon."""
    evidence = decision.evidence
    cause = evidence.get("cause")
    if cause == SILENCE:
        return f"no news from {evidence.get('host') or 'its host'} since {moment(evidence['since'])}"
    if cause == DEADLINE:
        return (
            f"no news since {moment(evidence['last'])}{_last_on(evidence)}; silent for longer than "
            f"{format_duration(float(evidence['deadline']))}, while everything up to "
            f"{moment(evidence['watermark'])} was read"
        )
    if cause == RESTART:
        return (
            f"nova-compute on {evidence.get('host')} started anew at {moment(evidence['since'])} and did not take it up"
        )
    return None


def _last_on(evidence: Mapping[str, str]) -> str:
    host = evidence.get("host")
    return f" (last on {host})" if host else ""
