"""`python -m novaharness`: boot the cloud, play scenarios, print one JSON object a scenario.

Runs in Nova's environment. Progress goes to standard error, results to --results or standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novaharness.compare import Compare
    from novaharness.play import Player
    from novaharness.record import Recorder
    from novaharness.signals import SignalRecorder
    from novaharness.vocabulary import Scenario


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="novaharness", description=__doc__)
    parser.add_argument(
        "--stumble",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="a line of [stumble] in nova.conf; enables `driver = stumble`",
    )
    parser.add_argument("--format", choices=["unversioned", "versioned", "both"], help="notification_format")
    parser.add_argument("--tour", action="store_true", help="only the scenarios of the tour")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="only names that contain TEXT")
    parser.add_argument("--names", type=pathlib.Path, metavar="FILE", help="only those of this JSON list of names")
    parser.add_argument(
        "--secrets", action="store_true", help="play the scenarios whose exceptions contain secrets instead"
    )
    parser.add_argument(
        "--notify", action="append", default=[], metavar="DRIVER", help="an additional notification driver"
    )
    parser.add_argument("--transport", metavar="URL", help="transport_url of the notifications only")
    parser.add_argument("--record", type=pathlib.Path, help="record notifications and tap calls as JSON lines")
    parser.add_argument("--signals", type=pathlib.Path, help="record the signals that the driver and its tap translate")
    parser.add_argument("--results", type=pathlib.Path, help="file for the results (default: standard output)")
    parser.add_argument("--cost", action="store_true", help='print a last line {"cost": …} with stumble\'s CPU time')
    parser.add_argument(
        "--compare", type=int, metavar="ROUNDS", help="play with and without stumble alternately; print one last line"
    )
    parser.add_argument("--witness", type=pathlib.Path, help="file for the canaries that Nova passed to its notifiers")
    parser.add_argument("--log", type=pathlib.Path, help="file for Nova's log, written at the end")
    return parser.parse_args()


def chosen(given: argparse.Namespace, scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Return the scenarios that the command line selects."""
    names = set(json.loads(given.names.read_text())) if given.names else None
    return [
        one
        for one in scenarios
        if (one.tour or not given.tour)
        and (names is None or one.name in names)
        and (not given.only or any(text in one.name for text in given.only))
    ]


def watching_api() -> Compare:
    """Return a comparison that will measure nova-api; it loads the driver, which other runs may not need."""
    from novaharness import compare

    one = compare.Compare()
    one.watch_api()
    return one


def recorded_signals(path: pathlib.Path) -> SignalRecorder:
    """Return a recorder that is installed; it loads the driver, which other runs may not need."""
    from novaharness.signals import SignalRecorder

    one = SignalRecorder(path)
    one.install()
    return one


def scenario_noter(recorders: list[Recorder | SignalRecorder]) -> Callable[[str], None]:
    """Return a function that tells recorders which scenario is played."""

    def note(name: str) -> None:
        for one in recorders:
            one.scenario = name

    return note


def compared(one: Compare, player: Player, scenarios: list[Scenario], rounds: int) -> dict[str, dict[str, float]]:
    """Return what stumble adds to the API and to computes."""
    one.install()
    one.play(player, scenarios, rounds)
    return one.result()


def main(given: argparse.Namespace, folder: pathlib.Path) -> int:
    """Play, with nova.conf in `folder`; exit status 1 when a scenario could not be played."""
    from novaharness import hosts  # isort: skip - first: it patches for eventlet
    from novaharness import canaries, cloud, cost, play, record
    from novaharness.scenarios import SCENARIOS
    from novaharness.secrets import SCENARIOS as SECRET_SCENARIOS
    from nova import rpc  # isort: skip - after the patching for eventlet

    drivers = (("stumble",) if given.stumble else ()) + (("test",) if given.record else ()) + tuple(given.notify)
    conf = cloud.write_conf(
        folder, dict(line.split("=", 1) for line in given.stumble), given.format, drivers, given.transport
    )
    recorder = record.Recorder(given.record) if given.record else None
    if recorder:
        recorder.install()
    signals = recorded_signals(given.signals) if given.signals else None
    comparison = watching_api() if given.compare else None
    running = cloud.Cloud(conf).start()
    running.require_drivers(drivers)
    canaries.plant(running)
    witness = canaries.Witness()
    if given.witness:
        witness.install((rpc.LEGACY_NOTIFIER, rpc.NOTIFIER))
    print("nova is up: nova-api, conductor, scheduler, computes " + ", ".join(cloud.COMPUTES), file=sys.stderr)
    player = play.Player(running, scenario_noter([one for one in (recorder, signals) if one]))
    if comparison:
        print(
            json.dumps({"compare": compared(comparison, player, chosen(given, SCENARIOS), given.compare)}), flush=True
        )
        return 0
    meter = cost.Cost() if given.cost else None
    if meter:
        player.play(next(scenario for scenario in SCENARIOS if scenario.given == "active"))  # a warm-up
        meter.install()
    broken = 0
    with given.results.open("w") if given.results else os.fdopen(1, "w") as out:
        for scenario in chosen(given, SECRET_SCENARIOS if given.secrets else SCENARIOS):
            result = player.play(scenario)
            broken += "error" in result
            print(json.dumps(result), file=out, flush=True)
        if meter:
            print(json.dumps({"cost": meter.result()}), file=out, flush=True)
    hosts.wait_idle()
    if given.witness:
        witness.write(given.witness)
    if given.log:
        given.log.write_text(running.stdlog.logger.output)
    return 1 if broken else 0


if __name__ == "__main__":
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="novaharness-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder  # removed with the files of Nova's fixtures, which nothing cleans up
        try:
            status = main(given, pathlib.Path(folder))
        except Exception:  # noqa: BLE001 - oslo.log would write the traceback to its log
            traceback.print_exc()
            status = 2
    sys.stderr.flush()
    os._exit(status)  # green threads of the services don't end by themselves; nothing may depend on atexit
