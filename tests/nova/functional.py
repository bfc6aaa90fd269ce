"""Nova's own functional tests, without stumble and with it: ``python -m tests.nova.functional [MODULE…]``.

Each module runs twice, each time in its own process. A test that does not pass without stumble is not counted; every
other test must pass with driver and tap enabled. The results are stored in ``functional.json`` and written, as a page,
to docs/nova-functional.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "nova" / "in_nova" / "functional.py"
RESULTS_FILE = Path(__file__).with_name("functional.json")
PAGE = ROOT / "docs" / "nova-functional.md"
VERSION = "33.0.2"

#: Test modules below nova.tests.functional that need nothing of Nova's documentation.
MODULES = (
    *("compute.test_init_host", "compute.test_live_migration", "compute.test_resource_tracker"),
    *("test_instance_actions", "test_server_rescue", "test_server_faults", "test_cold_migrate", "test_compute_mgr"),
    *("wsgi.test_servers", "wsgi.test_services", "wsgi.test_interfaces", "compute.test_cache_image"),
    *("test_boot_from_volume", "test_multiattach", "test_server_external_events", "test_cross_az_attach"),
    *("test_images", "test_service", "test_policy", "test_server_group", "test_cross_cell_migrate"),
    *("test_servers_provider_tree", "test_availability_zones", "test_scheduler", "test_servers", "test_aggregates"),
    *("test_servers_resource_request", "test_unified_limits", "test_routed_networks", "compute.test_host_api"),
)


def run(python: Path, names: Iterable[str], outbox: Path | None = None) -> tuple[dict[str, str], int]:
    """Run tests in Nova's environment; return the result of each, and how many events stumble accepted."""
    command = [str(python), "-W", "ignore", str(CASES), *(["--outbox", str(outbox)] if outbox else []), *names]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    results = {line["test"].removeprefix("nova.tests.functional."): line["result"] for line in lines if "test" in line}
    return results, sum(line.get("events", 0) for line in lines)


def compare(python: Path, module: str) -> dict[str, Any]:
    """Run one module without stumble and with it."""
    names = [f"nova.tests.functional.{module}"]
    without, _ = run(python, names)
    with tempfile.TemporaryDirectory() as folder:
        with_stumble, events = run(python, names, Path(folder) / "outbox")
    passed = sorted(name for name, result in without.items() if result == "ok")
    return {
        "passed": passed,
        "not counted": sorted(set(without) - set(passed)),
        "different": {name: with_stumble.get(name, "missing") for name in passed if with_stumble.get(name) != "ok"},
        "events": events,
    }


def load_results() -> dict[str, dict[str, Any]]:
    """Return the stored results by module."""
    results: dict[str, dict[str, Any]] = json.loads(RESULTS_FILE.read_text()) if RESULTS_FILE.exists() else {}
    return results


def page(results_by_module: dict[str, dict[str, Any]]) -> str:
    """Return the page for docs/."""
    total: Counter[str] = Counter()
    rows = []
    for module, result in sorted(results_by_module.items()):
        numbers = (len(result["passed"]), len(result["not counted"]), len(result["different"]), result["events"])
        total.update(dict(zip(("passed", "out", "different", "events"), numbers, strict=True)))
        rows.append(f"| {module} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    different = [
        f"- {name}: {how}" for result in results_by_module.values() for name, how in result["different"].items()
    ]
    return "\n".join(
        [
            "# Nova's own functional tests with stumble enabled",
            "",
            f"Nova {VERSION}. `make nova-functional` writes this page. It runs every module twice: without stumble,",
            "and with `driver = stumble` and the tap in every service of every test. A test that does not pass without",
            "stumble (it needs files that Nova's wheel does not contain) is not counted.",
            "",
            f"**{total['passed']:,} tests pass without stumble.",
            f"With stumble, {total['different']} of them have another result.**",
            f"stumble accepted {total['events']:,} events during these tests.",
            "",
            *([*different, ""] if different else []),
            "| module of nova.tests.functional | pass without | not counted | other result with stumble | events |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Run the named modules, or all, store the results, write the page; 1 if a test has another result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES)
    arguments = parser.parse_args()
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--nova", VERSION]
    made = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if made.returncode:
        return 1
    results_by_module = load_results()
    for module in arguments.modules:
        results_by_module[module] = result = compare(Path(made.stdout.strip()), module)
        print(f"{module}: {len(result['passed'])} pass, {len(result['different'])} differ", flush=True)
        RESULTS_FILE.write_text(json.dumps(results_by_module, indent=1, sort_keys=True) + "\n")
        PAGE.write_text(page(results_by_module))
    return int(any(result["different"] for result in results_by_module.values()))


if __name__ == "__main__":
    raise SystemExit(main())
