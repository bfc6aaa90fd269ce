"""An audit of a store, or a replay into another one, measured from the first record to the end."""

from __future__ import annotations

import sys

from bench.ours.common import Clock, say
from stumble.audit.audit import Audit, AuditScope
from stumble.projector.settings import ProjectorSettings
from stumble.settings.base import load_settings


def main(what: str, place: str) -> None:
    """Audit the store that the environment names, or replay its topic into `place`."""
    clock = Clock()

    def told(*_: object) -> None:
        clock.start()

    if what == "replay":
        from stumble.audit.replay import Replay  # an audit does not need its libraries

        clock.report(Replay(load_settings(), None, None, told).into(place).records)
        return
    audit = Audit(load_settings(), ProjectorSettings(), AuditScope(), on_progress=told)
    report = audit.run()
    audit.close()
    if not report.equal:
        say(differences=report.differences)
        raise SystemExit(1)
    clock.report(report.records)


if __name__ == "__main__":
    main(*sys.argv[1:])
