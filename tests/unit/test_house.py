"""The files of the repository are consistent."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from stumble.cli.commands import COMMANDS
from stumble.local.jars import locked_jars
from tests.support.services import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


LOCKS = [
    *(path.relative_to(ROOT) for path in (ROOT / "requirements").glob("*.txt")),
    *(path.relative_to(ROOT) for path in (ROOT / "tests/nova/locks").glob("*.txt")),
    Path("bench/peers/requirements.lock"),
    Path("constraints.txt"),
]


def locked(lock: Path) -> dict[str, list[str]]:
    """Return the hashes of each `name==version` of a lock file, which must contain nothing else."""
    hashes: dict[str, list[str]] = {}
    text = (ROOT / lock).read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"([a-z0-9-]+==\S+)( ; [^#:/]+?)?((?: +--hash=sha256:[0-9a-f]{64})+) *", line)
        assert match is not None, f"{lock}: {line[:200]}"
        hashes[match[1]] = re.findall(r"[0-9a-f]{64}", match[3])
    return hashes


def names(lock: str) -> set[str]:
    return {pin.partition("==")[0] for pin in locked(Path(lock))}


def plain(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_locked_library_has_a_version_and_hashes(lock: Path) -> None:
    assert locked(lock)


@pytest.mark.parametrize("extra", ["relay", "bridge", "consumers", "local"])
def test_lock_of_an_extra_has_the_libraries_that_the_extra_names(extra: str) -> None:
    named = {plain(line) for line in [*PROJECT["dependencies"], *EXTRAS[extra]]} - {"stumble"}
    assert named - names(f"requirements/{extra}.txt") == set(), "run: make lock"


def test_lock_of_development_has_every_library() -> None:
    named = {plain(line) for lines in [PROJECT["dependencies"], *EXTRAS.values()] for line in lines} - {"stumble"}
    assert named - names("constraints.txt") == set(), "run: make lock"
    everything = locked(Path("constraints.txt"))
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert locked(lock).items() <= everything.items(), f"{lock.name}: run: make lock"


def test_driver_lock_is_fastavro_alone() -> None:
    assert names("requirements/driver.txt") == {"fastavro"}


def test_base_install_is_fastavro_alone() -> None:
    assert [plain(line) for line in PROJECT["dependencies"]] == ["fastavro"]


def test_commands_name_real_extras() -> None:
    assert {command.extra for command in COMMANDS} <= EXTRAS.keys()


def test_jars_are_locked_by_hash() -> None:
    jars = locked_jars()
    assert len(jars) > 40
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in jars)


def test_source_files_have_at_most_500_lines() -> None:
    """Tables count, too."""
    roots = ("schemas", "producers", "consumers", "deploy")
    too_long = {
        str(path.relative_to(ROOT)): count
        for root in roots
        for path in (ROOT / root).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 500
    }
    assert too_long == {}


def test_links_between_documents_have_existing_targets() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_commands_in_documents_exist() -> None:
    names = {command.name for command in COMMANDS}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy/systemd").glob("*.service")]
    shown = {
        (page.name, word)
        for page in pages
        for word in re.findall(r"(?:^\$ |`|/bin/)stumble ([a-z]+)", page.read_text(), re.MULTILINE)
    }
    assert shown
    assert {(page, word) for page, word in shown if word not in names} == set()


def test_every_command_has_its_module() -> None:
    modules = {command.target.partition(":")[0] for command in COMMANDS}
    missing = [name for name in modules if not (ROOT / "deploy" / (name.replace(".", "/") + ".py")).exists()]
    assert missing == []
