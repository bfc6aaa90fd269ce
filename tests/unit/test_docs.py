"""Documents that come from the code are current, and what the others tell to type can be typed."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.services import ROOT


def test_generated_documents_are_current() -> None:
    found = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_no_comment_stands_behind_a_value_of_nova_conf() -> None:
    """oslo.config takes it for a part of the value: Nova would not start with what the page says."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```ini\n(.*?)```", page.read_text(), re.DOTALL)]
    lines = [line for block in blocks for line in block.splitlines() if "=" in line and not line.startswith("#")]
    assert len(lines) > 10
    assert not [line for line in lines if "#" in line]
