"""The query commands need only the `cli` extra: users install them on their own machines."""

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


@pytest.mark.slow
@pytest.mark.parametrize("command", ["failures", "request", "instance", "wait", "schema"])
def test_query_command_runs_with_the_cli_extra_alone(command: str) -> None:
    program = PROGRAM.format(foreign=set(FOREIGN), command=command)
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=cli_environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Examples" in result.stdout
