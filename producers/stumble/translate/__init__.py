"""From Nova's signals (notifications, calls on its action records) to events. Pure: same input, same events, same ids.

Nothing here knows a host's configuration, talks to anything, or raises: a signal that can't be translated yields no
events and the name of a reason, which the caller counts.
"""

from stumble.translate.notification import read_notification, translate_notification
from stumble.translate.result import Translation
from stumble.translate.tap import read_tap, translate_tap

__all__ = ["Translation", "read_notification", "read_tap", "translate_notification", "translate_tap"]
