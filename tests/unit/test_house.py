"""The repository's own files agree with each other."""

from __future__ import annotations

import re
import tomllib

from stumble.deploy.cli.commands import COMMANDS
from stumble.deploy.local.jars import locked_jars
from tests.support.services import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(re.match(r"([^=]+)==([^ ;]+)", line).groups() for line in lines)


def plain(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def test_every_library_is_locked() -> None:
    named = {plain(line) for lines in [PROJECT["dependencies"], *EXTRAS.values()] for line in lines} - {"stumble"}
    assert named - pinned().keys() == set(), "run: make lock"


def test_the_lock_names_no_place() -> None:
    assert not re.search(r"https?:|--", (ROOT / "constraints.txt").read_text())


def test_base_install_is_fastavro_alone() -> None:
    assert [plain(line) for line in PROJECT["dependencies"]] == ["fastavro"]


def test_commands_name_real_extras() -> None:
    assert {command.extra for command in COMMANDS} <= EXTRAS.keys()


def test_jars_are_locked_by_hash() -> None:
    jars = locked_jars()
    assert len(jars) > 40
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in jars)


def test_sources_stay_readable() -> None:
    """Files of at most 500 lines, tables included."""
    roots = ("schemas", "producers", "consumers", "deploy")
    long = {
        str(path.relative_to(ROOT)): count
        for root in roots
        for path in (ROOT / root).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 500
    }
    assert long == {}
