"""Write docs/moments.md: when each scenario's outcome was decided on real Nova, and how soon it could be read.

Plays every scenario into the whole pipeline (outbox, relay, Kafka, projector, PostgreSQL), on servers of its own.
With --evidence only those that an earlier run, whose evidence was kept (tests/nova/evidence.py), did not play.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nova_tour import ROOT, SCENARIOS, fresh, nova_python, say, servers

from stumble.local.errors import LocalError
from tests.nova import evidence, moments
from tests.nova.pipeline import Pipeline

#: Scenarios whose request Nova takes, in the table's order: what it refuses is no request.
NAMES = [scenario.name for scenario in SCENARIOS if scenario.expected]
PAGE = ROOT / "docs" / "moments.md"
_TEXT = """# When an outcome is decided

Every scenario was played on real Nova {version}, with the one line `driver = stumble`, into the whole pipeline: outbox,
relay, Kafka, projector, PostgreSQL. *Decided by* is the first signal after which the outcome follows from what Nova
had told until then, and stays; *readable after* is the time from emitting that signal to the first look at the store,
one every 5 ms, that showed the outcome.

In no scenario was any outcome called final that did not stay: neither derived from any prefix of what Nova told, one
event at a time, nor shown by the store (`tests/nova/test_moments.py` holds both).

Written by `python scripts/nova_moments.py`, on {cores} cores that Nova and stumble shared with {beside}.

{table}
"""


def main() -> int:
    """Play, look on, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nova", default="33.0.2", help="release of Nova")
    parser.add_argument("--state", type=Path, default=ROOT / ".state" / "moments", help="folder to work in")
    parser.add_argument("--evidence", type=Path, help="what a run of tests/nova left: …/nova/default/evidence")
    asked = parser.parse_args()
    try:
        found = earlier(asked.evidence) if asked.evidence else []
        beside = "a run of the tests" if found else "other work"
        names = [name for name in NAMES if name not in {moment.scenario for moment in found}]
        if names:
            found += played(asked.nova, asked.state.absolute(), names)
            beside += f" (load {os.getloadavg()[2]:.0f})" if not asked.evidence else ""
    except (LocalError, OSError, subprocess.SubprocessError) as error:
        print(f"nova_moments: {error}", file=sys.stderr)
        return 1
    found.sort(key=lambda moment: NAMES.index(moment.scenario))
    text = _TEXT.format(version=asked.nova, cores=os.cpu_count(), beside=beside, table=moments.table(found))
    PAGE.write_text(text, encoding="utf-8")
    say(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def earlier(kept: Path) -> list[moments.Moment]:
    """Return the moments of a run whose evidence was kept, of the scenarios that there still are."""
    results = json.loads((kept / "results.json").read_text())
    return [moment for moment in moments.moments(kept, results) if moment.scenario in NAMES]


def played(nova: str, folder: Path, names: list[str]) -> list[moments.Moment]:
    """Play scenarios into a pipeline of their own; return their moments."""
    python = nova_python(nova)
    with (
        fresh(folder) as state,
        servers(state) as (kafka, database),
        Pipeline(state, bootstrap_servers=kafka, database_url=database) as pipeline,
    ):
        kept = state / "evidence"
        with evidence.Watch(pipeline.outbox, database, kept):
            results = play(python, pipeline.outbox, state, names)
            wait_delivered(pipeline, [one["request_id"] for one in results if one.get("request_id")][-1])
        return moments.moments(kept, results)


def play(python: Path, outbox: Path, state: Path, names: list[str]) -> list[dict[str, Any]]:
    """Play scenarios; return what the harness said of each."""
    results, wanted = state / "results.jsonl", state / "names.json"
    wanted.write_text(json.dumps(names))
    command = [str(python), "-m", "novaharness", "--names", str(wanted), "--results", str(results)]
    command += ["--stumble", f"outbox_dir={outbox}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "nova"), "PYTHONWARNINGS": "ignore"}
    say(f"playing {len(names)} scenarios, about one a second")
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in results.read_text().splitlines()]


def wait_delivered(pipeline: Pipeline, request_id: str) -> None:
    """Wait until the last request is in the store, and a moment more; LocalError after a minute."""
    deadline = time.monotonic() + 60
    while not pipeline.requests(request_id):
        pipeline.require_running()
        if time.monotonic() > deadline:
            raise LocalError("the last request did not reach the store within a minute")
        time.sleep(0.2)
    time.sleep(3)


if __name__ == "__main__":
    raise SystemExit(main())
