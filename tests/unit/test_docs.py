"""Documents that come from the code are current."""

from __future__ import annotations

import subprocess
import sys

from tests.support.services import ROOT


def test_generated_documents_are_current() -> None:
    found = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
