"""`make nova`: real API requests against real Nova, and what Nova and stumble say of each, side by side.

Runs in stumble's own environment; Nova runs in another. The two meet in the outbox directory and nowhere else.
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
from collections.abc import Iterator
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
from stumble.local.process import tail  # noqa: E402
from tests.nova import judge  # noqa: E402
from tests.nova.pipeline import Pipeline  # noqa: E402

PREFIX = os.environ.get("STUMBLE_KAFKA__TOPIC_PREFIX", "")
console = Console(width=max(Console().width, 140))


def say(text: str) -> None:
    """Show progress."""
    console.print(f"[dim]nova:[/] {text}", highlight=False)


def nova_python(version: str) -> Path:
    """Make Nova's environment (scripts/nova_env.py shows its own progress) and return its Python."""
    folder = Path(os.environ.get("STUMBLE_NOVA_VENV") or ROOT / f".venv-nova-{version}")
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--nova", version, "--venv", str(folder)]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(1)
    return folder / "bin" / "python"


@contextlib.contextmanager
def fresh(state: Path) -> Iterator[Path]:
    """Empty the tour's folder, for this tour alone; LocalError if another one uses it, or it is no tour's."""
    mark = state / "nova-tour"
    if state.exists() and any(state.iterdir()) and not mark.exists():
        raise LocalError(f"{state} holds something else: give the tour a folder of its own with --state")
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.with_name(f"{state.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(f"a tour with its state in {state} is under way: wait, or give --state") from None
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        mark.touch()
        yield state


@contextlib.contextmanager
def servers(state: Path) -> Iterator[tuple[str, str]]:
    """Give the addresses of Kafka and PostgreSQL: those of the environment, else started here and stopped."""
    with contextlib.ExitStack() as stack:
        kafka = os.environ.get("STUMBLE_KAFKA__BOOTSTRAP_SERVERS")
        if not kafka:
            broker = LocalKafka(state)
            stack.callback(broker.stop)
            kafka = broker.start()
            say("Kafka is up")
        database = os.environ.get("STUMBLE_DATABASE_URL")
        if not database:
            postgres = LocalPostgres(state)
            stack.callback(postgres.stop)
            postgres.start()
            database = postgres.create_database("stumble")
            say("PostgreSQL is up")
        yield kafka, database


def play(python: Path, outbox: Path, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run the harness in Nova's environment; yield its results as they come."""
    command = [str(python), "-m", "novaharness", "--stumble", f"outbox_dir={outbox}"]
    command += ["--format", arguments.format] if arguments.format else []
    command += [] if arguments.all else ["--tour"]
    for text in arguments.only:
        command += ["--only", text]
    state = arguments.state.absolute()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "nova"), "TMPDIR": str(state)}
    log = state / "logs" / "nova.log"
    with log.open("w") as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment)
        assert process.stdout is not None
        try:
            yield from (json.loads(line) for line in process.stdout)
            status = process.wait()
        finally:
            process.terminate()
    if status:
        raise LocalError(f"the Nova harness failed (status {status}), see {log}: {tail(log)}")


def nova_says(result: dict[str, Any]) -> str:
    """Tell in a few words what the server's owner sees in Nova."""
    server, request = result["nova_server"], result["nova"]
    lines = ["server gone" if server is None else f"server [b]{server['status']}[/]"]
    if server and server["fault"]:
        lines.append(f"fault: {server['fault']}")
    if request is None:
        return "\n".join([*lines, f"no action (HTTP {result['status']})"])
    lines.append(f"{request['action']}: message {request['message']}")
    lines += [f"  {event['event']} {event['result']}" for event in request["events"]]
    return "\n".join(lines)


def stumble_says(items: list[dict[str, Any]]) -> str:
    """Tell what stumble's API says of the request."""
    lines = []
    for item in items:
        colour = {"SUCCEEDED": "green", "RECOVERED": "yellow", "FAILED": "red"}.get(item["outcome"], "magenta")
        lines.append(f"{item['action']} [b {colour}]{item['outcome']}[/]" + _aside(item))
        for failure in item["failures"]:
            lines.append(f"  {failure['host']}: {failure['exception']} ({failure['blame']})")
            lines.append(f"    {failure['reason']}")
    return "\n".join(lines) or "no request"


def _aside(item: dict[str, Any]) -> str:
    parts = [f"verdict {item['verdict']}"] if item["verdict"] else []
    parts += [f"effect on the server: {item['effect']}"] if item["failures"] else []
    return f" ({', '.join(parts)})" if parts else ""


def ask(
    pipeline: Pipeline, result: dict[str, Any], expected: tuple[Any, ...]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Ask stumble until its record is right, at most 20 s; return the items and what is wrong with them."""
    deadline = time.monotonic() + (20 if expected else 2)
    while True:
        items = judge.of_scenario(pipeline.requests(result["request_id"]), result)
        wrong = judge.differences(expected, items)
        if (not wrong and expected) or time.monotonic() > deadline:
            return items, wrong
        pipeline.require_running()
        time.sleep(0.1)


def tour(arguments: argparse.Namespace) -> int:
    """Play, ask, print; return the exit status: 1 when stumble's record is wrong anywhere."""
    expected = {scenario.name: scenario.expected for scenario in SCENARIOS}
    python = nova_python(arguments.nova)
    table = Table(title=f"Nova {arguments.nova} and stumble", show_lines=True, expand=True)
    for title, ratio in (("request", 2), ("Nova says (to the server's owner)", 4), ("stumble says", 4), ("", 1)):
        table.add_column(title, ratio=ratio, overflow="fold")
    bad = count = known = 0
    with (
        fresh(arguments.state.absolute()) as state,
        servers(state) as (kafka, database),
        Pipeline(state, bootstrap_servers=kafka, database_url=database, topic_prefix=PREFIX) as pipeline,
    ):
        say("stumble is up: relay, projector, API at " + pipeline.url)
        say("starting nova-api, conductor, scheduler and two computes with `driver = stumble` in nova.conf")
        for result in play(python, pipeline.outbox, arguments):
            if "error" in result:
                raise LocalError(f"{result['scenario']} could not be played: {result['error'].strip()[-500:]}")
            items, wrong = ask(pipeline, result, expected[result["scenario"]])
            say(f"{result['scenario']}: " + ("[green]right[/]" if not wrong else f"[red]{'; '.join(wrong)}[/]"))
            verdict = "[green]right[/]" if not wrong else "[red]wrong[/]: " + "; ".join(wrong)
            table.add_row(result["scenario"], nova_says(result), stumble_says(items), verdict)
            bad, count = bad + bool(wrong), count + 1
            known += judge.nova_tells(result["nova"], expected[result["scenario"]])
    console.print(table)
    console.print(f"stumble: {count - bad} of {count} records are right.")
    console.print(f"Nova's own action record tells failed from not failed in {known} of {count}.")
    return 1 if bad or not count else 0


def main() -> int:
    """Parse the command line and run the tour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nova", default="33.0.2", help="release of Nova")
    parser.add_argument("--all", action="store_true", help="every scenario of the table, not only the tour")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="only names that contain TEXT")
    parser.add_argument("--format", choices=["unversioned", "versioned", "both"], help="notification_format")
    parser.add_argument("--state", type=Path, default=ROOT / ".state" / "nova", help="folder for everything")
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
