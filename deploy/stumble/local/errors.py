"""What the local stack raises; its message is one sentence that says what to do."""

from __future__ import annotations

from stumble.wire.errors import StumbleError

__all__ = ["LocalError"]


class LocalError(StumbleError):
    """Something of the local stack failed; ``str()`` is a sentence for the operator."""
