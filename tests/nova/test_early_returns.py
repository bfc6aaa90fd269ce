"""Every early return and swallowed exception in Nova's managers is declared, for each release that is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.nova_early_returns import RELEASES, Declaration, differences
from tests.nova.conftest import ROOT, VERSION


def package_below(environment: Path) -> Path | None:
    """Return the folder of the package `nova` in an environment, None if it has none."""
    return next(environment.glob("lib/python3*/site-packages/nova"), None)


def test_release_of_the_tests_has_no_undeclared_finding(nova_python: Path) -> None:
    package = package_below(nova_python.parent.parent)
    assert package is not None
    assert differences(package, VERSION, Declaration()) == []


@pytest.mark.parametrize("release", [one for one in RELEASES if one != VERSION])
def test_other_release_has_no_undeclared_finding(release: str) -> None:
    package = package_below(ROOT / f".venv-nova-{release}")
    if package is None:
        pytest.skip(f"no .venv-nova-{release} here: make nova-matrix makes it")
    assert differences(package, release, Declaration()) == []
