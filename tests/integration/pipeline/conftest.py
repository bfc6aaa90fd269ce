"""A prepared path over the run's shared servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.whole_path import WholePath


@pytest.fixture
def path(tmp_path: Path, kafka: str, database_url: str) -> Iterator[WholePath]:
    """Topics and tables are there, no role runs."""
    whole = WholePath(tmp_path, kafka, database_url)
    try:
        whole.prepare()
        yield whole
    finally:
        whole.close()
