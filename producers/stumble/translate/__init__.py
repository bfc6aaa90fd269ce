"""From Nova's signals (notifications, calls on its action records) to events: a pure function.

The same input gives the same events with the same ids. Nothing here knows a host's configuration, does I/O or raises:
a signal that can't be translated yields no events and the name of a reason, which the caller counts.

Start reading at ``notification``. Imports ``wire``.
"""

from stumble.translate.notification import read_notification, translate_notification
from stumble.translate.result import Translation
from stumble.translate.tap import read_tap, translate_tap

__all__ = ["Translation", "read_notification", "read_tap", "translate_notification", "translate_tap"]
