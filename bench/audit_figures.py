"""Audit and replay, compared with the projector on the same topic."""

from __future__ import annotations

from typing import Any

from bench import jobs
from bench.projector_figures import project, settings_for, topics
from bench.report import Report
from bench.stack import Stack
from bench.stream import events, load


def measure(report: Report, stack: Stack, *, runs: int, count: int) -> None:
    """Measure the rate and the memory of an audit and a replay of a store."""
    prefix = "audit-"
    load(stack.kafka.bootstrap_servers, topics(stack, prefix), events(success=False, count=count))
    taken: dict[str, list[dict[str, Any]]] = {"projector": [], "audit": [], "replay": []}
    for _ in range(runs):
        url, other = stack.database(), stack.database()
        try:
            taken["projector"].append(project(stack, url, prefix, count))
            stack.settle(url)
            for what in ("audit", "replay"):
                taken[what].append(_again(stack, what, url, other, prefix))
        finally:
            stack.drop(url)
            stack.drop(other)
    rates = {name: [run["events"] / run["seconds"] for run in found] for name, found in taken.items()}
    for what in ("audit", "replay"):
        report.add(f"{what}_events_per_second", rates[what])
        report.add(f"{what}_cpu_us_per_event", _cpu(taken[what]))
        less = [own / other for own, other in zip(_cpu(taken[what]), _cpu(taken["projector"]), strict=True)]
        report.add(f"{what}_cpu_ratio_to_projector", less, "<= 1")
        ratio = [own / other for own, other in zip(rates[what], rates["projector"], strict=True)]
        report.add(f"{what}_ratio_to_projector", ratio, ">= 1")
        report.add(f"{what}_rss_mb", [run["rss_mb"] for run in taken[what]], "<= 300")


def _cpu(runs: list[dict[str, Any]]) -> list[float]:
    return [1e6 * run["all_cpu"] / run["events"] for run in runs]


def _again(stack: Stack, what: str, url: str, other: str, prefix: str) -> dict[str, Any]:
    before = stack.postgres_cpu()
    found = jobs.ours("again", what, other, environment=settings_for(stack, url, prefix))
    found["all_cpu"] = found["cpu_seconds"] + stack.postgres_cpu() - before
    return found
