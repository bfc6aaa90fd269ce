"""``stumble alerter`` with short pauses between webhook attempts: the specification's schedule takes 75 hours."""

from __future__ import annotations

from functools import partial
from unittest import mock

from stumble.alerts.receivers.webhooks import Webhooks
from stumble.cli import main

_SCHEDULE = (1, 2, 3, *[4] * 60)

if __name__ == "__main__":
    with mock.patch("stumble.alerts.build.Webhooks", partial(Webhooks, schedule=_SCHEDULE)):
        main()
