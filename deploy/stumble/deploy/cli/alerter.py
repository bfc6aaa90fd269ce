"""`stumble alerter`: publish failures, outcomes and their corrections."""

from __future__ import annotations

import typer

from stumble.consumers.alerts.alerter import Alerter
from stumble.consumers.metrics.process import serve
from stumble.deploy.cli.ask import examples
from stumble.deploy.cli.roles import DatabaseOption, MetricsPortOption, settings_of, stopping

app = typer.Typer(add_completion=False)


@app.command(epilog=examples("stumble alerter", "stumble alerter --metrics-port 8688"))
def alerter(*, database_url: DatabaseOption = None, metrics_port: MetricsPortOption = None) -> None:
    """Publish to the topics instance-action-failures and instance-action-outcomes.

    Each revision at least once, in order for each failure and request, under an id that stays the same when it is
    delivered again. Start two: one is active, the other takes over within ten seconds.
    """
    settings = settings_of(database_url, metrics_port)
    stop = stopping()
    role = Alerter(settings)
    if settings.metrics_port is not None:
        port = serve(settings.metrics_host, settings.metrics_port, role.metrics.registry, role.live, role.ready)
        typer.echo(f"Metrics and health on http://{settings.metrics_host}:{port}/metrics")
    role.run(stop)
