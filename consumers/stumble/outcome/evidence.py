"""The reason of a decision as text: for the project's users without host names, for operators with them."""

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
    """Return a time (UTC microseconds) as text, to the second."""
    return datetime.fromtimestamp(int(micros) // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def reason(decision: Decision) -> str:
    """Return the reason of a stalled request for the project's users."""
    evidence = decision.evidence
    if evidence.get("cause") == SILENCE:
        return f"No events since {moment(evidence['last'])}: the host that works on this request sends no reports."
    if evidence.get("cause") == DEADLINE:
        action = evidence.get("action") or "such a request"
        return (
            f"No events since {moment(evidence['last'])}, longer than the "
            f"{format_duration(float(evidence['deadline']))} for which {action} may have no event."
        )
    return "There are no more events of this request."


def proof(decision: Decision) -> str | None:
    """Return the reason of a decision for operators; None if its evidence names no cause."""
    evidence = decision.evidence
    cause = evidence.get("cause")
    if cause == SILENCE:
        return f"no reports from {evidence.get('host') or 'its host'} since {moment(evidence['since'])}"
    if cause == DEADLINE:
        return (
            f"no events since {moment(evidence['last'])}{_last_on(evidence)}, longer than "
            f"{format_duration(float(evidence['deadline']))}, although everything up to "
            f"{moment(evidence['watermark'])} was read"
        )
    if cause == RESTART:
        return (
            f"nova-compute on {evidence.get('host')} restarted at {moment(evidence['since'])} "
            "and did not resume the request"
        )
    return None


def _last_on(evidence: Mapping[str, str]) -> str:
    host = evidence.get("host")
    return f" (last on {host})" if host else ""
