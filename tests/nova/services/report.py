"""The results of the whole table of restarts, stored as JSON and written as a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.nova.services import table

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "nova-restarts.md"
RESULTS_FILE = Path(__file__).with_name("restarts.json")
VERSION = "33.0.2"


def table_hash() -> str:
    """Return a hash of the table, without `quick`, which only selects the test run."""
    rows = [{key: value for key, value in asdict(one).items() if key != "quick"} for one in table.RESTARTS]
    return hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()


def write(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Store the results and write the page."""
    rows = {name: _row(one) for name, one in results.items()}
    RESULTS_FILE.write_text(json.dumps({"table": table_hash(), "nova": VERSION, "restarts": rows}, indent=1) + "\n")
    PAGE.write_text(page(rows))


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    items = [
        {
            "action": item["action"],
            "outcome": item["outcome"],
            "effect": item.get("effect"),
            "failures": [f"{failure['exception']} on {failure['host']}" for failure in item["failures"]],
        }
        for item in one["items"]
    ]
    return {"right": not one["wrong"], "seconds": one["seconds"], "stumble": items, "nova": one["nova"]}


def page(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page for docs/."""
    killed = {one.name: f"{one.killed} in `{one.held}`" for one in table.RESTARTS}
    lines = [
        "# Restart tests: kill -9 of a nova-compute during requests",
        "",
        f"Nova {VERSION} as separate services (RabbitMQ, Placement, nova-api under uWSGI, conductor, scheduler, two",
        "computes, `host1` on green threads and `host2` on native threads), with `driver = stumble` and a whole",
        "pipeline behind it. The test kills a compute while all scenarios of its host are in progress, and starts it",
        "again. `make nova-restart` writes this page; a test compares the page with the table of scenarios.",
        "",
        f"**{sum(row['right'] for row in rows.values())} of {len(rows)} records are right.** The last column gives the",
        "seconds from the start of the new process to the right record in the API; they include the time in which the",
        "new process checks its servers.",
        "",
        "| in progress | killed | server in Nova | action record in Nova | record in stumble | after |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(name, killed[name], row) for name, row in rows.items()]
    return "\n".join([*lines, ""])


def _line(name: str, killed: str, row: Mapping[str, Any]) -> str:
    nova = row["nova"]
    server = f"{nova['status'] or 'no server'}{', ' + nova['task'] if nova['task'] else ''}"
    steps = ", ".join(
        f"{step.removeprefix('compute_')} {result or 'unfinished'}" for step, result in nova["events"].items()
    )
    stumble = "; ".join(
        f"{item['action']} {item['outcome']}"
        + (f": {', '.join(item['failures'])} (server: {item['effect']})" if item["failures"] else "")
        for item in row["stumble"]
    )
    seconds = "never" if row["seconds"] is None else f"{row['seconds']:.0f} s"
    mark = "" if row["right"] else " **wrong**"
    return f"| {name} | {killed} | {server} | {nova['message'] or 'no error'}; {steps} | {stumble}{mark} | {seconds} |"
