"""The short form of ``make chaos``: every kind of fault within a minute, then everything is compared with the truth."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.run import SHORT, run, table

SEED = 11


def test_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path) -> None:
    said: list[str] = []
    checks = run(tmp_path, SHORT, SEED, said.append)
    wrong = [f"{check.name}: {line}" for check in checks for line in check.wrong[:20]]
    assert not wrong, "\n".join([*said, table(checks), *wrong, f"make chaos ARGS=--short SEED={SEED} repeats it"])
