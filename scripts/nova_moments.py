"""Write docs/moments.md: when each scenario's outcome was decided on real Nova, and how soon it was readable.

Plays every scenario through the whole pipeline (outbox, relay, Kafka, projector, PostgreSQL), on its own servers.
With --evidence, only those that an earlier run, whose evidence is stored (tests/nova/evidence.py), did not play.
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

#: Scenarios whose request Nova accepts, in the table's order: what it refuses is not a request.
NAMES = [scenario.name for scenario in SCENARIOS if scenario.expected]
PAGE = ROOT / "docs" / "moments.md"
_TEXT = """# When an outcome is decided

Every scenario ran on real Nova {version}, with the one line `driver = stumble`, and through the whole pipeline: outbox,
relay, Kafka, projector, PostgreSQL. *Decided by* is the first signal after which the outcome follows from Nova's
signals so far and does not change any more. *Readable after* is the time from emitting that signal to the first query
of the store that returned the outcome; there was one query every 5 ms.

In every scenario but those below, the first final outcome was also the last one. This is true for the outcomes derived
from every prefix of Nova's signals, one event at a time, and for all outcomes that the store returned
(`tests/nova/test_moments.py` checks both). In these scenarios Nova itself ends the request more than once, and each
later outcome is published as a correction:

{reversals}

`python scripts/nova_moments.py` writes this page; it ran on {cores} cores that Nova and stumble shared with {beside}.

{table}
"""


def main() -> int:
    """Play the scenarios, watch the store, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nova", default="33.0.2", help="release of Nova")
    parser.add_argument("--state", type=Path, default=ROOT / ".state" / "moments", help="folder to work in")
    parser.add_argument("--evidence", type=Path, help="evidence of a run of tests/nova: …/nova/default/evidence")
    asked = parser.parse_args()
    try:
        results = earlier(asked.evidence) if asked.evidence else []
        beside = "a run of the tests" if results else "other work"
        names = [name for name in NAMES if name not in {moment.scenario for moment in results}]
        if names:
            results += played(asked.nova, asked.state.absolute(), names)
            beside += f" (load {os.getloadavg()[2]:.0f})" if not asked.evidence else ""
    except (LocalError, OSError, subprocess.SubprocessError) as error:
        print(f"nova_moments: {error}", file=sys.stderr)
        return 1
    results.sort(key=lambda moment: NAMES.index(moment.scenario))
    text = _TEXT.format(
        version=asked.nova, cores=os.cpu_count(), beside=beside, table=moments.table(results), reversals=_reversals()
    )
    PAGE.write_text(text, encoding="utf-8")
    say(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def _reversals() -> str:
    """Return a line for each scenario with more than one final outcome."""
    lines = [
        f"- {scenario.name}: {', then '.join((*expected.earlier, expected.outcome))}"
        for scenario in SCENARIOS
        for expected in scenario.expected
        if expected.earlier
    ]
    return "\n".join(lines)


def earlier(folder: Path) -> list[moments.Moment]:
    """Return the moments of a run whose evidence is stored in `folder`, of scenarios that still exist."""
    results = json.loads((folder / "results.json").read_text())
    return [moment for moment in moments.moments(folder, results) if moment.scenario in NAMES]


def played(nova: str, folder: Path, names: list[str]) -> list[moments.Moment]:
    """Play scenarios through their own pipeline; return their moments."""
    python = nova_python(nova)
    with (
        fresh(folder) as state,
        servers(state) as (kafka, database),
        Pipeline(state, bootstrap_servers=kafka, database_url=database) as pipeline,
    ):
        stored = state / "evidence"
        with evidence.Watch(pipeline.outbox, database, stored):
            results = play(python, pipeline.outbox, state, names)
            wait_delivered(pipeline, [one["request_id"] for one in results if one.get("request_id")][-1])
        return moments.moments(stored, results)


def play(python: Path, outbox: Path, state: Path, names: list[str]) -> list[dict[str, Any]]:
    """Play scenarios; return the harness's result of each."""
    results, wanted = state / "results.jsonl", state / "names.json"
    wanted.write_text(json.dumps(names))
    command = [str(python), "-m", "novaharness", "--names", str(wanted), "--results", str(results)]
    command += ["--stumble", f"outbox_dir={outbox}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "nova"), "PYTHONWARNINGS": "ignore"}
    say(f"playing {len(names)} scenarios, about one a second")
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in results.read_text().splitlines()]


def wait_delivered(pipeline: Pipeline, request_id: str) -> None:
    """Wait until the last request is in the store, and 3 s more; raises LocalError after a minute."""
    deadline = time.monotonic() + 60
    while not pipeline.requests(request_id):
        pipeline.require_running()
        if time.monotonic() > deadline:
            raise LocalError("the last request did not reach the store within a minute")
        time.sleep(0.2)
    time.sleep(3)


if __name__ == "__main__":
    raise SystemExit(main())
