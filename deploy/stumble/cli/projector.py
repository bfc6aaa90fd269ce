"""`stumble projector`: build the failure store from the topic."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stumble.cli.ask import examples
from stumble.cli.roles import DatabaseOption, MetricsPortOption, settings_of, stopping
from stumble.local.supervisor import Role, Supervisor
from stumble.metrics.process import serve_metrics
from stumble.projector.build import build_projector
from stumble.projector.settings import ProjectorSettings
from stumble.runtime.affinity import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(add_completion=False)
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        help="Processes that share the partitions (default: 1), each on its own CPU core with about 250 MB. The first "
        "uses the metrics port, the others use the ports after it.",
        show_default=False,
    ),
]


@app.command(
    epilog=examples(
        "stumble projector",
        "stumble projector --processes 4 --metrics-port 8687",
        'STUMBLE_KAFKA__CONSUMER_OPTIONS=\'{"group.protocol": "consumer"}\' stumble projector',
    ),
)
def projector(
    *,
    processes: ProcessesOption = None,
    database_url: DatabaseOption = None,
    metrics_port: MetricsPortOption = None,
) -> None:
    """Read events from Kafka and write the failure store, one PostgreSQL transaction per batch.

    Projectors share the partitions: start at most as many as there are partitions. A projector waits for Kafka and the
    database. On SIGTERM it ends between two batches.
    """
    settings = settings_of(database_url, metrics_port)
    own = ProjectorSettings()
    count = processes or own.processes
    if count > 1:
        # The processes read all other settings themselves, so a secret is passed on only if it came as an option.
        given = {} if database_url is None else {"STUMBLE_DATABASE_URL": database_url}
        _several(given, settings.metrics_port, count, core=own.core)
        return
    stop = stopping()
    role = build_projector(settings, own)
    if settings.metrics_port is not None:
        health = role.health
        port = serve_metrics(
            settings.metrics_host, settings.metrics_port, health.metrics.registry, health.live, health.ready
        )
        typer.echo(f"Metrics and health on http://{settings.metrics_host}:{port}/metrics")
    role.run(stop)


def _several(env: Mapping[str, str], metrics_port: int | None, count: int, *, core: int | None) -> None:
    """Run projectors of one process each until a signal stops them; restart one that is killed.

    They use consecutive CPU cores, the first `core`.
    """
    stop = stopping()
    with tempfile.TemporaryDirectory(prefix="stumble-projector-") as folder:
        supervisor = Supervisor(Path(folder), env, typer.echo)
        try:
            for number in range(count):
                arguments = ("projector", "--processes", "1", *_metrics(metrics_port, number))
                core_number = NONE if core == NONE else (core or 0) + number
                own = {"STUMBLE_PROJECTOR_CORE": str(core_number)}
                supervisor.start(Role(f"projector {number + 1}", arguments, 0, own, terminal=True, vital=True))
            for _ in supervisor.watch():
                if stop.is_set():
                    break
        finally:
            supervisor.stop()


def _metrics(port: int | None, number: int) -> tuple[str, ...]:
    """Return the metrics option of process `number`: consecutive ports, or any free port (0) for each."""
    if port is None:
        return ()
    return ("--metrics-port", str(port + number if port else 0))
