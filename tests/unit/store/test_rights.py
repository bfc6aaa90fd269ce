"""The rights of a process are those that its statements need."""

from __future__ import annotations

import re

import pytest

from stumble.store.queries import load_queries
from stumble.store.rights import WRITTEN_TABLES, Process, grant_statements
from tests.support.services import ROOT

#: Packages with the statements of each process. Commands of an operator run as the owner.
PACKAGES: dict[Process, tuple[str, ...]] = {
    "api": ("api", "web", "deadletters"),
    "alerter": ("alerts",),
    "projector": ("projector", "ingest", "clock", "store"),
}
_WRITE = re.compile(r"\b(?:insert\s+into|delete\s+from|update(?!\s+set)|copy)\s+(?:only\s+)?(?:stumble_\w+\.)?(\w+)")
#: `for update of …`, and statements of the owner in these packages.
_NO_TABLE = {"of", "skip", "nowait"}


def written(package: str) -> set[str]:
    """Return the tables that the named statements of a package write."""
    sources = "".join(path.read_text() for path in (ROOT / "consumers/stumble" / package).rglob("*.py"))
    used = [text for name, text in load_queries().items() if f'"{name}"' in sources]
    assert used or package == "web"
    return {table for text in used for table in _WRITE.findall(text.lower())} - _NO_TABLE


@pytest.mark.parametrize("process", PACKAGES)
def test_every_table_that_a_process_writes_is_in_its_list(process: Process) -> None:
    tables = set().union(*map(written, PACKAGES[process]))
    assert tables - WRITTEN_TABLES[process] == set()


def test_no_list_has_a_table_that_the_process_does_not_write() -> None:
    api = written("api") | written("deadletters") | written("alerts")  # subscriptions are managed by the API
    assert WRITTEN_TABLES["api"] <= api
    assert WRITTEN_TABLES["alerter"] <= written("alerts")
    tables = set().union(*map(written, PACKAGES["projector"]))
    assert WRITTEN_TABLES["projector"] - tables == set()


def test_auditor_may_only_read() -> None:
    statements = [statement.as_string(None) for statement in grant_statements("auditor", "reader")]
    assert [text.split()[1] for text in statements] == ["usage", "select"]
    assert all(text.endswith('to "reader"') for text in statements)
