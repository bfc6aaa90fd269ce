"""Write docs/moments.md: when each scenario's outcome was decided on real Nova, and how soon it could be read.

Plays every scenario into the whole pipeline (outbox, relay, Kafka, projector, PostgreSQL), on servers of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from nova_tour import ROOT, fresh, nova_python, say, servers

from stumble.deploy.local.errors import LocalError
from tests.nova import evidence, moments
from tests.nova.pipeline import Pipeline

PAGE = ROOT / "docs" / "moments.md"
_TEXT = """# When an outcome is decided

Every scenario was played on real Nova {version}, with the one line `driver = stumble`, into the whole pipeline: outbox,
relay, Kafka, projector, PostgreSQL. *Decided by* is the first signal after which the outcome follows from what Nova
had told until then, and stays; *readable after* is the time from emitting that signal to the first look at the store,
one every 5 ms, that showed the outcome.

In no scenario was any outcome called final that did not stay: neither derived from any prefix of what Nova told, one
event at a time, nor shown by the store (`tests/nova/test_moments.py` holds both).

Written by `python scripts/nova_moments.py`, on {cores} cores that did other work beside (load {load:.0f}); Nova and
stumble shared them.

{table}
"""


def main() -> int:
    """Play, look on, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nova", default="33.0.2", help="release of Nova")
    parser.add_argument("--state", type=Path, default=ROOT / ".state" / "moments", help="folder to work in")
    asked = parser.parse_args()
    python = nova_python(asked.nova)
    try:
        with (
            fresh(asked.state.absolute()) as state,
            servers(state) as (kafka, database),
            Pipeline(state, bootstrap_servers=kafka, database_url=database) as pipeline,
        ):
            kept = state / "evidence"
            with evidence.Watch(pipeline.outbox, database, kept):
                results = play(python, pipeline.outbox, state)
                wait_delivered(pipeline, [one["request_id"] for one in results if one.get("request_id")][-1])
            found = moments.moments(kept, results)
    except (LocalError, OSError, subprocess.SubprocessError) as error:
        print(f"nova_moments: {error}", file=sys.stderr)
        return 1
    text = _TEXT.format(version=asked.nova, cores=os.cpu_count(), load=os.getloadavg()[2], table=moments.table(found))
    PAGE.write_text(text, encoding="utf-8")
    say(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def play(python: Path, outbox: Path, state: Path) -> list[dict[str, object]]:
    """Play every scenario; return what the harness said of each."""
    results = state / "results.jsonl"
    command = [str(python), "-m", "novaharness", "--stumble", f"outbox_dir={outbox}", "--results", str(results)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "nova"), "PYTHONWARNINGS": "ignore"}
    say("playing every scenario, some minutes")
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
