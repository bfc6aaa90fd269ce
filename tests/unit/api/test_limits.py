"""Limits of long responses."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from stumble.api.limits import ConcurrencyLimit
from stumble.api.problems import Unavailable


def fail(limit: ConcurrencyLimit) -> None:
    with limit.slot():
        raise ValueError("cut off")


def test_slot_is_refused_while_all_are_taken_and_free_after_an_error() -> None:
    limit = ConcurrencyLimit(2, "exports")
    with ExitStack() as stack:
        stack.enter_context(limit.slot())
        with pytest.raises(ValueError, match="cut off"):
            fail(limit)
        stack.enter_context(limit.slot())
        with pytest.raises(Unavailable, match="serves 2 exports at the same time"):
            stack.enter_context(limit.slot())
