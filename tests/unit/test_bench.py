"""The output of the benchmark."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from bench.environment import versions
from bench.hostile_figures import records, stored_events
from bench.report import Report
from stumble.wire.codec import MAX_BODY_BYTES, Decoder
from stumble.wire.errors import NotAvro, UnknownSchema
from stumble.wire.schemas import EVENT


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


def test_hostile_records_are_between_the_honest_ones_in_the_stated_shares() -> None:
    decoder, hosts, unreadable, longest = Decoder(EVENT), Counter[str](), 0, 0
    honest = {value for _, value in records(1000, is_hostile=False)}
    mixed = [value for _, value in records(1000, is_hostile=True)]
    assert honest < set(mixed)
    for value in set(mixed) - honest:
        try:
            hosts[decoder.decode(value)["host"].partition("-")[0]] += 1
        except (NotAvro, UnknownSchema):  # random bytes can begin like a frame of a registry
            unreadable += 1
        longest = max(longest, len(value))
    assert hosts["invented"] == 100
    assert (hosts.total(), unreadable) == (110, 10)
    assert stored_events(1000, is_hostile=True) == 1000 + 110
    assert 190_000 < longest < MAX_BODY_BYTES
