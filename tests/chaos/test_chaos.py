"""The short form of ``make chaos``: every kind of fault within 80 seconds, then a comparison with the truth."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.run import SHORT, run, table

SEED = 11


def test_nothing_is_lost_or_counted_twice_under_faults(tmp_path: Path) -> None:
    output: list[str] = []
    checks = run(tmp_path, SHORT, SEED, output.append)
    wrong = [f"{check.name}: {line}" for check in checks for line in check.wrong[:20]]
    assert not wrong, "\n".join([*output, table(checks), *wrong, f"make chaos ARGS=--short SEED={SEED} repeats it"])
