"""`make nova`: send real API requests to real Nova, and show what Nova and stumble report for each.

It runs in stumble's own environment; Nova runs in another. They share only the outbox directory.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "nova")]
sys.path[:0] = [str(ROOT / name) for name in ("schemas", "producers", "consumers", "deploy")]

from novaharness.scenarios import SCENARIOS  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from stumble.local.errors import LocalError  # noqa: E402
from stumble.local.kafka import LocalKafka  # noqa: E402
from stumble.local.postgres import LocalPostgres  # noqa: E402
from stumble.local.process import read_log_tail  # noqa: E402
from tests.nova import judge  # noqa: E402
from tests.nova.pipeline import Pipeline  # noqa: E402

PREFIX = os.environ.get("STUMBLE_KAFKA__TOPIC_PREFIX", "")
console = Console(width=max(Console().width, 140))


def say(text: str) -> None:
    """Show progress."""
    console.print(f"[dim]nova:[/] {text}", highlight=False)


def nova_python(version: str) -> Path:
    """Make Nova's environment (scripts/nova_env.py shows its progress) and return its Python."""
    folder = Path(os.environ.get("STUMBLE_NOVA_VENV") or ROOT / f".venv-nova-{version}")
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--nova", version, "--venv", str(folder)]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(1)
    return folder / "bin" / "python"


@contextlib.contextmanager
def fresh(state: Path) -> Iterator[Path]:
    """Empty and lock the tour's folder; LocalError if another tour uses it, or if it is not a tour's folder."""
    mark = state / "nova-tour"
    if state.exists() and any(state.iterdir()) and not mark.exists():
        raise LocalError(f"{state} contains other files: give the tour another folder with --state")
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.with_name(f"{state.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(f"another tour uses {state}: wait until it ends, or give --state") from None
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        mark.touch()
        yield state


@contextlib.contextmanager
def servers(state: Path) -> Iterator[tuple[str, str]]:
    """Yield the addresses of Kafka and PostgreSQL: those of the environment, else of local servers."""
    with contextlib.ExitStack() as stack:
        kafka = os.environ.get("STUMBLE_KAFKA__BOOTSTRAP_SERVERS")
        if not kafka:
            broker = LocalKafka(state)
            stack.callback(broker.stop)
            kafka = broker.start()
            say("Kafka runs")
        database = os.environ.get("STUMBLE_DATABASE_URL")
        if not database:
            postgres = LocalPostgres(state)
            stack.callback(postgres.stop)
            postgres.start()
            database = postgres.create_database("stumble")
            say("PostgreSQL runs")
        yield kafka, database


def play(python: Path, outbox: Path, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run the harness in Nova's environment; yield its results as they arrive."""
    command = [str(python), "-m", "novaharness", "--stumble", f"outbox_dir={outbox}"]
    command += ["--format", arguments.format] if arguments.format else []
    command += [] if arguments.all else ["--tour"]
    for text in arguments.only:
        command += ["--only", text]
    state = arguments.state.absolute()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "nova"), "TMPDIR": str(state)}
    log = state / "logs" / "nova.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        assert process.stdout is not None
        try:
            yield from (json.loads(line) for line in process.stdout)
            status = process.wait()
        finally:
            process.terminate()
    if status:
        raise LocalError(f"the Nova harness failed (status {status}), see {log}: {read_log_tail(log)}")


def nova_says(result: dict[str, Any]) -> str:
    """Return a short text: what the server's owner sees in Nova."""
    server, request = result["nova_server"], result["nova"]
    lines = ["no server" if server is None else f"server [b]{server['status']}[/]"]
    if server and server["fault"]:
        lines.append(f"fault: {server['fault']}")
    if request is None:
        return "\n".join([*lines, f"no action (HTTP {result['status']})"])
    lines.append(f"{request['action']}: message {request['message']}")
    lines += [f"  {event['event']} {event['result']}" for event in request["events"]]
    return "\n".join(lines)


def stumble_says(items: Sequence[Mapping[str, Any]]) -> str:
    """Return a short text: what stumble's API reports about the request."""
    lines = []
    for item in items:
        colour = {"SUCCEEDED": "green", "RECOVERED": "yellow", "FAILED": "red"}.get(item["outcome"], "magenta")
        lines.append(f"{item['action']} [b {colour}]{item['outcome']}[/]" + _verdict_and_effect(item))
        for failure in item["failures"]:
            lines.append(f"  {failure['host']}: {failure['exception']} ({failure['blame']})")
            lines.append(f"    {failure['reason']}")
    return "\n".join(lines) or "no request"


def _verdict_and_effect(item: Mapping[str, Any]) -> str:
    parts = [f"verdict {item['verdict']}"] if item["verdict"] else []
    parts += [f"effect on the server: {item['effect']}"] if item["failures"] else []
    return f" ({', '.join(parts)})" if parts else ""


def ask(
    pipeline: Pipeline, result: dict[str, Any], expected: tuple[Any, ...]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Query stumble until its record is right, at most 20 s; return the items and what is wrong with them."""
    deadline = time.monotonic() + (20 if expected else 2)
    while True:
        items = judge.of_scenario(pipeline.requests(result["request_id"]), result)
        wrong = judge.differences(expected, items)
        if (not wrong and expected) or time.monotonic() > deadline:
            return items, wrong
        pipeline.require_running()
        time.sleep(0.1)


def tour(arguments: argparse.Namespace) -> int:
    """Play the scenarios, query stumble, print a table; return 1 if any record of stumble is wrong."""
    expected = {scenario.name: scenario.expected for scenario in SCENARIOS}
    python = nova_python(arguments.nova)
    table = Table(title=f"Nova {arguments.nova} and stumble", show_lines=True, expand=True)
    for title, ratio in (("request", 2), ("Nova shows the server's owner", 4), ("stumble shows", 4), ("", 1)):
        table.add_column(title, ratio=ratio, overflow="fold")
    bad = count = known = 0
    with (
        fresh(arguments.state.absolute()) as state,
        servers(state) as (kafka, database),
        Pipeline(state, bootstrap_servers=kafka, database_url=database, topic_prefix=PREFIX) as pipeline,
    ):
        say("stumble runs: relay, projector, API at " + pipeline.url)
        say("starting nova-api, conductor, scheduler and two computes with `driver = stumble` in nova.conf")
        for result in play(python, pipeline.outbox, arguments):
            if "error" in result:
                raise LocalError(f"Nova did not play {result['scenario']}: {result['error'].strip()[-500:]}")
            items, wrong = ask(pipeline, result, expected[result["scenario"]])
            say(f"{result['scenario']}: " + ("[green]right[/]" if not wrong else f"[red]{'; '.join(wrong)}[/]"))
            verdict = "[green]right[/]" if not wrong else "[red]wrong[/]: " + "; ".join(wrong)
            table.add_row(result["scenario"], nova_says(result), stumble_says(items), verdict)
            bad, count = bad + bool(wrong), count + 1
            known += judge.nova_record_agrees(result["nova"], expected[result["scenario"]])
    console.print(table)
    console.print(f"stumble: {count - bad} of {count} records are right.")
    console.print(f"Nova's own action record shows whether the request failed in {known} of {count}.")
    return 1 if bad or not count else 0


def main() -> int:
    """Parse the command line and run the tour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nova", default="33.0.2", help="release of Nova")
    parser.add_argument("--all", action="store_true", help="all scenarios of the table, not only those of the tour")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="scenarios whose names contain TEXT"
    )
    parser.add_argument("--format", choices=["unversioned", "versioned", "both"], help="notification_format")
    parser.add_argument("--state", type=Path, default=ROOT / ".state" / "nova", help="folder to work in")
    arguments = parser.parse_args()
    try:
        return tour(arguments)
    except LocalError as error:
        console.print(f"nova: {error}", style="red", highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
