"""Named SQL: every statement is in a `.sql` file, in a block that starts with `-- name: …`.

Lists of columns such as ``{failure.columns}`` are made from the records (store/columns.py).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import LiteralString

from stumble.store.columns import expand_columns

_FOLDER = Path(__file__).with_name("sql")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load_queries() -> dict[str, str]:
    """Read all statements by name; raises `ValueError` when two share one name."""
    statements: dict[str, str] = {}
    for path in sorted(_FOLDER.glob("*.sql")):
        parts = _NAME.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in statements:
                raise ValueError(f"{path.name}: the statement {name!r} is defined twice")
            statements[name] = expand_columns(text.strip())
    return statements


def query(name: str) -> LiteralString:
    """Return the statement `name`; its text is from a file of this package, never from input."""
    return load_queries()[name]
