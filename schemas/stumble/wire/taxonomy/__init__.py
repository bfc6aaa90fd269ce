"""Failure taxonomy: code, blame and retryability of an exception class, and the text of it that users may see."""

from stumble.wire.taxonomy.classify import (
    NOVA,
    Classification,
    classify,
    describe_class,
    is_nova,
    is_unknown,
    module_of_class,
    remote_class,
    shows_text,
    strip_remote,
    withheld_message,
)
from stumble.wire.taxonomy.kinds import QUOTING, RACES, SHOWN_WRAPPERS, VERDICTS, WRAPPERS
from stumble.wire.taxonomy.libraries import is_python

__all__ = [
    "NOVA",
    "QUOTING",
    "RACES",
    "SHOWN_WRAPPERS",
    "VERDICTS",
    "WRAPPERS",
    "Classification",
    "classify",
    "describe_class",
    "is_nova",
    "is_python",
    "is_unknown",
    "module_of_class",
    "remote_class",
    "shows_text",
    "strip_remote",
    "withheld_message",
]
