"""``stumble alerter`` with short pauses between webhook attempts: the specification's schedule takes 75 hours."""

from __future__ import annotations

from stumble.alerts.receivers import webhooks
from stumble.cli import main

if __name__ == "__main__":
    webhooks.SCHEDULE = tuple([1, 2, 3] + [4] * 60)
    main()
