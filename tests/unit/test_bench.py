"""The output of the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.environment import versions
from bench.report import Report


def test_report_has_median_spread_goal_and_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(peers=versions())
    report.add("projector_ratio_to_copy", [0.7, 0.9, 0.5], ">= 0.8")
    report.add("emit_p99_us", [21.0, 40.0, 30.0], "<= 300")
    assert capsys.readouterr().out.splitlines() == ["projector_ratio_to_copy 0.7", "emit_p99_us 30"]
    assert report.missed() == ["projector_ratio_to_copy is 0.7, goal >= 0.8"]
    report.write(tmp_path / "figures.json")
    written = json.loads((tmp_path / "figures.json").read_text())
    figure = written["figures"]["projector_ratio_to_copy"]
    assert (figure["min"], figure["value"], figure["max"]) == (0.5, 0.7, 0.9)
    assert written["machine"]["cores"]
    assert {"aiokafka", "asyncpg", "quixstreams", "oslo-messaging"} <= written["peers"].keys()


@pytest.mark.parametrize("value", [0.0001, 0.5, 999.4, 123456.7])
def test_printed_line_is_a_name_and_a_number(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    Report().add("figure", [value])
    name, number = capsys.readouterr().out.split()
    assert name == "figure"
    assert float(number) == pytest.approx(value, rel=1e-3)
