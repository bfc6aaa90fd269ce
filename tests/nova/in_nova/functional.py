"""Run Nova's own functional tests in Nova's environment: ``functional.py [--outbox DIR] NAME…``.

One line of JSON for each test: its id and what came of it. With ``--outbox`` every service of every test has the one
line ``driver = stumble`` in its configuration, and the tap; the last line tells how many events were accepted.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import unittest
from typing import Any

os.environ.setdefault("OS_LOG_CAPTURE", "1")

import nova.tests.functional  # first: it decides about green threads
from nova.tests.fixtures import conf as conf_fixture
from oslo_messaging import opts as messaging_opts

NOTIFICATIONS = "oslo_messaging_notifications"
PASTE = f"{sys.prefix}/etc/nova/api-paste.ini"


def configure(outbox: str | None) -> None:
    """Let Nova's test configuration find api-paste.ini where the wheel puts it, and name stumble if wanted."""
    original = conf_fixture.ConfFixture.setUp

    @functools.wraps(original)
    def set_up(self: Any) -> None:
        original(self)
        self.conf.set_default("api_paste_config", PASTE, group="wsgi")
        if outbox is not None:
            from stumble.nova import options

            self.conf.register_opts(options.OPTIONS, group=options.GROUP)
            self.conf.set_default("outbox_dir", outbox, group=options.GROUP)
            self.conf.register_opts(dict(messaging_opts.list_opts())[NOTIFICATIONS], group=NOTIFICATIONS)
            self.conf.set_default("driver", ["stumble"], group=NOTIFICATIONS)

    conf_fixture.ConfFixture.setUp = set_up


class Result(unittest.TestResult):
    """Tells what came of each test as soon as it is over."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, str] = {}

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        """Print the test's line."""
        super().stopTest(test)
        print(json.dumps({"test": test.id(), "result": self._said.pop(test.id(), "ok")}), flush=True)

    def _not_ok(self, kind: str, test: unittest.TestCase) -> None:
        self._said[test.id()] = kind

    def addError(self, test: Any, *_about: Any, **_details: Any) -> None:  # noqa: N802
        """Remember an error."""
        self._not_ok("failed", test)

    def addSkip(self, test: Any, *_about: Any, **_details: Any) -> None:  # noqa: N802
        """Remember a skip."""
        self._not_ok("skipped", test)

    addFailure = addUnexpectedSuccess = addError  # noqa: N815


def accepted() -> int:
    """Return how many events the driver and the tap of this process gave to the outbox."""
    from stumble.nova import driver

    return sum(producer.emitter.totals.accepted for producer in driver._producers.values())


def main() -> int:
    """Run what the command line names; always 0, the lines tell the rest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outbox")
    parser.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    configure(arguments.outbox)
    assert nova.tests.functional
    suite = unittest.TestLoader().loadTestsFromNames(arguments.names)
    suite.run(Result())
    if arguments.outbox is not None:
        print(json.dumps({"events": accepted()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
