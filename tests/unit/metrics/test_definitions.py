"""Metric definitions and limits."""

from __future__ import annotations

import platform

import pytest
from prometheus_client import CollectorRegistry

from stumble.api.metrics import ApiMetrics
from stumble.metrics.definitions import ALL, MAX_EXCEPTIONS
from stumble.metrics.process import ProcessMetrics
from stumble.metrics.store import limit_exceptions


def test_exceptions_beyond_the_limit_are_counted_as_other():
    few: dict[tuple[str, ...], int] = {(f"E{number}",): number for number in range(5)}
    assert limit_exceptions(few) == few
    many: dict[tuple[str, ...], int] = {(f"E{number}",): 1 for number in range(MAX_EXCEPTIONS + 7)}
    result = limit_exceptions(many)
    assert len(result) == MAX_EXCEPTIONS + 1
    assert result["other",] == 7
    assert sum(result.values()) == len(many)


def test_metric_names_are_unique_and_metrics_can_be_created():
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    assert not any(name.endswith("_total") for name in names)
    for role in ("projector", "alerter"):
        ProcessMetrics(role)


@pytest.mark.parametrize(
    ("role", "registry"),
    [
        ("projector", ProcessMetrics("projector").registry),
        ("alerter", ProcessMetrics("alerter").registry),
        ("api", ApiMetrics().registry),
    ],
)
def test_every_role_names_its_version(role: str, registry: CollectorRegistry):
    (sample,) = next(family for family in registry.collect() if family.name == "stumble_build_info").samples
    assert (sample.labels["role"], sample.labels["python"]) == (role, platform.python_version())
    assert sample.labels["version"]
    assert sample.value == 1
