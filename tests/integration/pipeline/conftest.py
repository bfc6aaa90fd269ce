"""A prepared path on the shared servers of the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.projector_fixtures import store_url, template_database
from tests.support.whole_path import WholePath

__all__ = ["store_url", "template_database", "whole_path"]


@pytest.fixture
def whole_path(tmp_path: Path, kafka: str, database_url: str) -> Iterator[WholePath]:
    """A path with topics and tables; no role runs."""
    whole_path = WholePath(tmp_path, kafka, database_url)
    try:
        whole_path.prepare()
        yield whole_path
    finally:
        whole_path.close()
