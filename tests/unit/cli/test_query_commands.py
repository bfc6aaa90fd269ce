"""The query commands need the `cli` extra and nothing more: they are installed where people work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.services import ROOT, cli_environment

FOREIGN = (
    "alembic", "confluent_kafka", "fastapi", "jinja2", "orjson", "prometheus_client", "psycopg",
    "psycopg_pool", "sqlalchemy", "sse_starlette", "starlette", "uvicorn",
)  # fmt: skip
PROGRAM = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {foreign!r}:
            raise ModuleNotFoundError(name + " is of another extra", name=name)
sys.meta_path.insert(0, Refuse())
from stumble.cli.root import run
sys.exit(run([{command!r}, "--help"]))
"""


@pytest.mark.parametrize("command", ["failures", "request", "instance", "wait", "schema"])
def test_it_runs_without_the_consuming_side(command: str) -> None:
    program = PROGRAM.format(foreign=set(FOREIGN), command=command)
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=cli_environment(), capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "Examples" in found.stdout
