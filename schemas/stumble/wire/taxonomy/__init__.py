"""Failure taxonomy: code, blame and retryability of an exception class, and the text of it that users may see."""

from stumble.wire.taxonomy.classify import (
    Classification,
    classify,
    is_nova,
    is_unknown,
    remote_class,
    safe_reason,
    strip_remote,
)
from stumble.wire.taxonomy.kinds import RACES, VERDICTS, WRAPPERS

__all__ = [
    "RACES",
    "VERDICTS",
    "WRAPPERS",
    "Classification",
    "classify",
    "is_nova",
    "is_unknown",
    "remote_class",
    "safe_reason",
    "strip_remote",
]
