"""Translates Nova's signals (notifications, calls on its action records) to events: a pure function.

The same input gives the same events with the same ids. The package does not read a host's configuration, does no I/O
and does not raise: for a signal that it cannot translate, it returns no events and a reason, which the caller counts.

Start reading at ``notification``. Imports ``wire``.
"""

from stumble.translate.notification import read_notification, translate_notification
from stumble.translate.result import Translation
from stumble.translate.tap import read_tap, translate_tap

__all__ = ["Translation", "read_notification", "read_tap", "translate_notification", "translate_tap"]
