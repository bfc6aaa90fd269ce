"""Compare the store's offsets with the topic: partitions that are stopped, and what holds others up."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.kafka import connect_cluster
from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.checks.store import open_session
from stumble.projector.offsets_tool import OffsetsTool
from stumble.projector.partition_state import what_to_do

__all__ = ["check_offsets"]


def check_offsets(scope: CheckContext) -> Iterator[CheckResult]:
    """Report each partition that needs the operator, as `stumble offsets show` does."""
    kafka = scope.settings.kafka
    connect_cluster(kafka)
    with open_session(scope) as connection, OffsetsTool(kafka, connection) as tool:
        reports = list(tool.all())
    findings = [
        wrong(f"partition {report.partition}", report.description, todo)
        for report in reports
        if (todo := what_to_do(report.status))
    ]
    silent = [report for report in reports if report.silent_since]
    if silent:
        says = f"no projector has reported on {len(silent)} of {len(reports)} partitions for 12 seconds"
        findings.append(warning(kafka.topics.actions, says, "start `stumble projector`"))
    yield from findings
    if not findings:
        yield fine(kafka.topics.actions, f"no partition of {len(reports)} is stopped")
