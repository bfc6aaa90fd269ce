"""`make nova-matrix`: play and record every scenario on every release of Nova, and write the table.

Scenarios whose recording is current are not played again, so it can be stopped at any time; after a change of what the
driver or the tap observes, --again plays all, or --only the scenarios that it concerns. A change of translation or
derivation needs only the table, which each call writes. Releases are played at the same time, one for each processor.
It writes only files: tests/nova/recordings/, which tests use, and docs/nova-table.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "nova"), str(ROOT / "scripts")]
sys.path[:0] = [str(ROOT / name) for name in ("schemas", "producers", "consumers", "deploy")]

from nova_env import EnvError, make  # noqa: E402

from stumble.outbox.folders import outbox_folders  # noqa: E402
from tests.nova.matrix import recording, results, table  # noqa: E402


def say(text: str) -> None:
    """Show progress."""
    print(f"nova-matrix: {text}", flush=True)


def play(python: Path, folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """Play these scenarios on one release; return the results that the harness wrote."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "names.json").write_text(json.dumps(names))
    command = [str(python), "-m", "novaharness", "--format", "both", "--names", str(folder / "names.json")]
    command += ["--stumble", f"outbox_dir={folder / 'outbox'}"]
    command += ["--signals", str(folder / "signals.jsonl"), "--results", str(folder / "results.jsonl")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "nova"), "PYTHONWARNINGS": "ignore"}
    with (folder / "nova.log").open("w") as log:
        subprocess.run(command, stderr=log, env=environment, check=False)
    results = folder / "results.jsonl"
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def tap_state(outbox: Path) -> str:
    """Return the state of the tap that the driver reports in this release."""
    abouts = (json.loads((Path(folder.path) / "about.json").read_text()) for folder in outbox_folders(str(outbox)))
    return "; ".join(sorted({about.get("tap", "off") for about in abouts}))


def record(release: str, *, again: bool, only: Sequence[str]) -> None:
    """Update the recording of one release. Raises EnvError or RecordingError if a scenario can't be recorded."""
    names = recording.stale({} if again or only else recording.hashes_in(release))
    names = [name for name in names if not only or any(text in name for text in only)]
    if not names:
        say(f"{release}: already recorded")
        return
    python = make(release, Path(os.environ.get("STUMBLE_NOVA_VENVS") or ROOT) / f".venv-nova-{release}")
    folder = ROOT / ".state" / "nova-matrix" / release
    say(f"{release}: playing {len(names)} scenarios (about one a second)")
    results = play(python, folder, names)
    good = [result for result in results if "error" not in result]
    if good:
        path = recording.write(release, tap_state(folder / "outbox"), folder / "outbox", folder / "signals.jsonl", good)
        say(f"{release}: wrote {path.relative_to(ROOT)}")
    if len(good) < len(names):
        broken = next((f"{one['scenario']}: {one['error'].strip()[-300:]}" for one in results if "error" in one), "")
        raise EnvError(f"Nova {release} did not play all scenarios, see {folder / 'nova.log'}. {broken}")


def record_all(releases: Sequence[str], jobs: int, *, again: bool, only: Sequence[str]) -> bool:
    """Update the recordings of these releases, `jobs` at the same time; return whether all were recorded."""
    complete = True
    with ThreadPoolExecutor(jobs) as executor:
        recorded = [executor.submit(record, release, again=again, only=only) for release in releases]
        for future in recorded:
            try:
                future.result()
            except (EnvError, recording.RecordingError) as failure:
                print(f"nova-matrix: {failure}", file=sys.stderr)
                complete = False
    return complete


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nova", action="append", choices=recording.RELEASES, help="only this release; repeatable")
    parser.add_argument("--again", action="store_true", help="also play what is already recorded")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="play the scenarios whose names contain TEXT again"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="releases that are played at a time")
    arguments = parser.parse_args()
    try:
        releases = arguments.nova or recording.RELEASES
        if not record_all(releases, arguments.jobs, again=arguments.again, only=arguments.only):
            return 1
    except KeyboardInterrupt:
        print("nova-matrix: stopped; run it again to continue", file=sys.stderr)
        return 130
    missing = [release for release in recording.RELEASES if not recording.path_of(release).exists()]
    if missing:
        say(f"the table needs {', '.join(missing)}: run it again")
        return 0
    table.FILE.write_text(table.document(), encoding="utf-8")
    for line in table.summary():
        say(line)
    wrong = results.all_violations(recording.RELEASES)
    for line in wrong:
        print(f"nova-matrix: wrong: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
