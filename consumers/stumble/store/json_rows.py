"""Rows as the JSON parameter of a statement, which converts them to typed columns.

One JSON parameter costs the client a tenth of the time of one array per column, and the server the same time.
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
