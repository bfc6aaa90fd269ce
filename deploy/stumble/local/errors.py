"""The error of the local stack; its message is one sentence with what to do."""

from __future__ import annotations

from stumble.wire.errors import StumbleError

__all__ = ["LocalError"]


class LocalError(StumbleError):
    """A part of the local stack failed; ``str()`` is a sentence for the operator."""
