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
    told = decision.evidence
    if told.get("cause") == SILENCE:
        return f"No news since {moment(told['last'])}: nothing is heard of the host that works on it."
    if told.get("cause") == DEADLINE:
        action = told.get("action") or "such a request"
        return (
            f"No news since {moment(told['last'])}, longer than the {format_duration(float(told['deadline']))} "
            f"for which {action} may be silent."
        )
    return "There is no news of it."


def proof(decision: Decision) -> str | None:
    """Return what operators read of a decision; None where it does not say what it was made upon."""
    told = decision.evidence
    cause = told.get("cause")
    if cause == SILENCE:
        return f"no news from {told.get('host') or 'its host'} since {moment(told['since'])}"
    if cause == DEADLINE:
        return (
            f"no news since {moment(told['last'])}{_last_on(told)}; silent for longer than "
            f"{format_duration(float(told['deadline']))}, while everything up to {moment(told['watermark'])} was read"
        )
    if cause == RESTART:
        return f"nova-compute on {told.get('host')} started anew at {moment(told['since'])} and did not take it up"
    return None


def _last_on(told: Mapping[str, str]) -> str:
    host = told.get("host")
    return f" (last on {host})" if host else ""
