"""`stumble alerter`: publish failures, outcomes and their corrections."""

from __future__ import annotations

import typer

from stumble.alerts.build import build_alerter
from stumble.alerts.settings import AlertSettings
from stumble.cli.ask import examples
from stumble.cli.roles import DatabaseOption, MetricsPortOption, settings_of, stopping
from stumble.metrics.process import serve

app = typer.Typer(add_completion=False)


@app.command(epilog=examples("stumble alerter", "stumble alerter --metrics-port 8688"))
def alerter(*, database_url: DatabaseOption = None, metrics_port: MetricsPortOption = None) -> None:
    """Publish to the topics instance-action-failures and instance-action-outcomes, and tell those who asked.

    Rules (STUMBLE_ALERTS_RULES, else those that ship) decide what Alertmanager is told (STUMBLE_ALERTS_ALERTMANAGERS);
    subscriptions are told of failures, outcomes and alerts by webhook.

    Each revision at least once, in order for each failure and request, under an id that stays the same when it is
    delivered again. Start two: one is active, the other takes over within ten seconds.
    """
    settings = settings_of(database_url, metrics_port)
    service = build_alerter(settings, AlertSettings(), stopping())
    if settings.metrics_port is not None:
        registry = service.metrics.registry
        port = serve(settings.metrics_host, settings.metrics_port, registry, service.live, service.ready)
        typer.echo(f"Metrics and health on http://{settings.metrics_host}:{port}/metrics")
    service.run()
