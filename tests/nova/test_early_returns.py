"""Every early return and swallowed exception in Nova's managers is declared, for each release that is installed."""

from __future__ import annotations

from pathlib import Path

from scripts.nova_early_returns import RELEASES, Declaration, differences
from tests.nova.conftest import ROOT, VERSION


def package_below(environment: Path) -> Path | None:
    """Return the folder of the package `nova` in an environment, None if it has none."""
    return next(environment.glob("lib/python3*/site-packages/nova"), None)


def test_no_installed_release_has_an_undeclared_finding(nova_python: Path) -> None:
    environments = {release: ROOT / f".venv-nova-{release}" for release in RELEASES}
    environments[VERSION] = nova_python.parent.parent
    packages = {release: package_below(environment) for release, environment in environments.items()}
    assert packages[VERSION] is not None
    for release, package in packages.items():
        if package is not None:  # `make nova-matrix` installs and checks all of them
            assert differences(package, release, Declaration()) == [], release
