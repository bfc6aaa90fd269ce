"""`stumble alerter`: publish failures, outcomes and their corrections."""

from __future__ import annotations

import typer

from stumble.alerts.build import build_alerter
from stumble.alerts.settings import AlertSettings
from stumble.cli.ask import examples
from stumble.cli.roles import DatabaseOption, MetricsPortOption, settings_of, stopping
from stumble.metrics.process import serve_metrics

app = typer.Typer(add_completion=False)


@app.command(epilog=examples("stumble alerter", "stumble alerter --metrics-port 8688"))
def alerter(*, database_url: DatabaseOption = None, metrics_port: MetricsPortOption = None) -> None:
    """Publish to the topics instance-action-failures and instance-action-outcomes, to Alertmanager and to webhooks.

    Rules (STUMBLE_ALERTS_RULES, by default those that ship with stumble) decide which alerts are sent to Alertmanager
    (STUMBLE_ALERTS_ALERTMANAGERS). Subscriptions receive failures, outcomes and alerts by webhook.

    The alerter delivers each revision at least once, in order for each failure and request. A revision that is
    delivered again has the same id. Start two alerters: one is active; if it stops, the other is active within ten
    seconds.
    """
    settings = settings_of(database_url, metrics_port)
    service = build_alerter(settings, AlertSettings(), stopping())
    if settings.metrics_port is not None:
        registry = service.metrics.registry
        port = serve_metrics(settings.metrics_host, settings.metrics_port, registry, service.live, service.ready)
        typer.echo(f"Metrics and health on http://{settings.metrics_host}:{port}/metrics")
    service.run()
