"""`stumble projector`: build the failure store from the topic."""

from __future__ import annotations

import typer

from stumble.consumers.metrics.process import serve
from stumble.consumers.projector.loop import Projector
from stumble.consumers.projector.settings import ProjectorSettings
from stumble.deploy.cli.ask import examples
from stumble.deploy.cli.roles import DatabaseOption, MetricsPortOption, settings_of, stopping

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble projector",
        "stumble projector --metrics-port 8687",
        'STUMBLE_KAFKA__CONSUMER_OPTIONS=\'{"group.protocol": "consumer"}\' stumble projector',
    ),
)
def projector(*, database_url: DatabaseOption = None, metrics_port: MetricsPortOption = None) -> None:
    """Read events from Kafka and keep the failure store, one PostgreSQL transaction a batch.

    Start as many as there are partitions to share. It waits for Kafka and the database, and ends between two
    batches on SIGTERM.
    """
    settings = settings_of(database_url, metrics_port)
    stop = stopping()
    role = Projector(settings, ProjectorSettings())
    if settings.metrics_port is not None:
        health = role.health
        port = serve(settings.metrics_host, settings.metrics_port, health.metrics.registry, health.live, health.ready)
        typer.echo(f"Metrics and health on http://{settings.metrics_host}:{port}/metrics")
    role.run(stop)
