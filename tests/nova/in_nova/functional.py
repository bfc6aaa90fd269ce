"""Run Nova's own functional tests in Nova's environment: ``functional.py [--outbox DIR] NAME…``.

Prints one line of JSON for each test: its id and its result. With ``--outbox`` every service of every test has
``driver = stumble`` in its configuration, and the tap; the last line has the number of accepted events.
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

import nova.tests.functional  # first: it chooses green or native threads
from nova.tests.fixtures import conf as conf_fixture
from oslo_messaging import opts as messaging_opts

NOTIFICATIONS = "oslo_messaging_notifications"
PASTE = f"{sys.prefix}/etc/nova/api-paste.ini"


def configure(outbox: str | None) -> None:
    """Set the path of the wheel's api-paste.ini in Nova's test configuration; with `outbox`, enable stumble."""
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
    """Prints the result of each test as soon as it ends."""

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[str, str] = {}

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        """Print the test's line."""
        super().stopTest(test)
        print(json.dumps({"test": test.id(), "result": self._results.pop(test.id(), "ok")}), flush=True)

    def _not_ok(self, kind: str, test: unittest.TestCase) -> None:
        self._results[test.id()] = kind

    def addError(self, test: Any, *_about: Any, **_details: Any) -> None:  # noqa: N802
        """Record an error."""
        self._not_ok("failed", test)

    def addSkip(self, test: Any, *_about: Any, **_details: Any) -> None:  # noqa: N802
        """Record a skip."""
        self._not_ok("skipped", test)

    addFailure = addUnexpectedSuccess = addError  # noqa: N815


def accepted() -> int:
    """Return how many events of this process's driver and tap the outbox accepted."""
    from stumble.nova import driver

    return sum(producer.emitter.totals.accepted for producer in driver._producers.values())


def main() -> int:
    """Run the tests of the command line; always 0: the results are in the output."""
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
