"""Rows as the JSON parameter of a statement, which makes typed columns of it.

One parameter of JSON costs the client a tenth of what arrays of every column cost it, and the server the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as the JSON parameter of a statement."""
    return orjson.dumps(rows).decode()


def as_array(rows: Sequence[bytes]) -> str:
    """Return rows that are JSON already as the parameter of a statement."""
    return (b"[" + b",".join(rows) + b"]").decode()
