"""Metric definitions and limits."""

from __future__ import annotations

from stumble.metrics.definitions import ALL, MAX_EXCEPTIONS
from stumble.metrics.process import ProcessMetrics
from stumble.metrics.store import capped


def test_exceptions_are_capped_in_the_order_in_which_they_came():
    few = {(f"E{number}",): number for number in range(5)}
    assert capped(few) == few
    many = {(f"E{number}",): 1 for number in range(MAX_EXCEPTIONS + 7)}
    shown = capped(many)
    assert len(shown) == MAX_EXCEPTIONS + 1
    assert shown["other",] == 7
    assert sum(shown.values()) == len(many)


def test_metrics_are_defined_once_and_can_be_made():
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    assert not any(name.endswith("_total") for name in names)
    for role in ("projector", "alerter"):
        ProcessMetrics(role)
