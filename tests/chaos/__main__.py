"""``python -m tests.chaos``: a run of any length; exit status 0 only when everything is right."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import traceback
from pathlib import Path

from tests.chaos import schedule
from tests.chaos.run import SHORT, Size, fresh_folder, run, table

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Kill everything, then compare with the truth.")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long things break (5)")
    parser.add_argument("--seed", type=int, help="repeat a run; else one is drawn")
    parser.add_argument("--schedule", type=Path, help="do what this file says instead of what follows from the seed")
    parser.add_argument("--short", action="store_true", help="the size that the tests use")
    parser.add_argument("--state", type=Path, default=ROOT / ".state" / "chaos", help="folder to work in")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a run that went well")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else secrets.randbelow(10**6)
    size = SHORT if asked.short else Size(seconds=asked.minutes * 60)
    folder = fresh_folder(asked.state.absolute(), seed)
    repeat = f"SEED={seed} repeats it; logs, schedule and what was done when are in {folder}"
    try:
        faults = schedule.load(asked.schedule) if asked.schedule else None
        checks = run(folder, size, seed, lambda text: print(text, flush=True), faults)
    except KeyboardInterrupt:
        print(f"\nstopped; {repeat}", file=sys.stderr)
        return 130
    except Exception:  # noqa: BLE001  # whatever it was, the run was no proof
        traceback.print_exc()
        print(f"the run could not be done; {repeat}", file=sys.stderr)
        return 2
    print("\n" + table(checks))
    if any(check.wrong for check in checks):
        print(f"\nWRONG. {repeat}")
        return 1
    print(f"\nEverything is right (seed {seed}).")
    if not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
