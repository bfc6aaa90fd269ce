"""``python -m tests.chaos``: a run of any length; exit status 0 only if all checks are right."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import traceback
from pathlib import Path

from tests.chaos import schedule
from tests.chaos.run import SHORT, Size, new_folder, run, table

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Inject faults, then compare store and topics with the truth."
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="duration of the faults (5)")
    parser.add_argument("--seed", type=int, help="repeat the run of this seed; default: a random seed")
    parser.add_argument("--schedule", type=Path, help="inject the faults of this file instead of those of the seed")
    parser.add_argument("--short", action="store_true", help="the size of the run in the tests")
    parser.add_argument("--state", type=Path, default=ROOT / ".state" / "chaos", help="working folder")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a successful run")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    size = SHORT if options.short else Size(seconds=options.minutes * 60)
    folder = new_folder(options.state.absolute(), seed)
    repeat = f"SEED={seed} repeats it; logs, schedule and times of the faults are in {folder}"
    try:
        faults = schedule.load(options.schedule) if options.schedule else None
        checks = run(folder, size, seed, lambda text: print(text, flush=True), faults)
    except KeyboardInterrupt:
        print(f"\nstopped; {repeat}", file=sys.stderr)
        return 130
    except Exception:  # noqa: BLE001  # any error: the run has no result
        traceback.print_exc()
        print(f"the run could not be completed; {repeat}", file=sys.stderr)
        return 2
    print("\n" + table(checks))
    if any(check.wrong for check in checks):
        print(f"\nWRONG. {repeat}")
        return 1
    print(f"\nAll checks are right (seed {seed}).")
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
