"""`stumble relay`: send the events in this host's outboxes to Kafka."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from stumble.cli.ask import examples
from stumble.cli.logs import configure_logging
from stumble.cli.roles import MetricsPortOption
from stumble.metrics.build_info import add_build_info
from stumble.metrics.process import serve_metrics
from stumble.relay import build_relay
from stumble.settings.base import load_settings

LOG = logging.getLogger(__name__)
app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble relay --outbox-dir /var/lib/stumble/outbox",
        "STUMBLE_KAFKA__BOOTSTRAP_SERVERS=kafka1:9092,kafka2:9092 stumble relay --metrics-port 8689",
        "STUMBLE_CONFIG=/etc/stumble/relay.toml stumble relay",
    ),
)
def relay(
    *,
    outbox_dir: Annotated[
        Path | None,
        typer.Option(help="Directory in which this host's services write events.", envvar="STUMBLE_OUTBOX_DIR"),
    ] = None,
    metrics_port: MetricsPortOption = None,
    status_interval: Annotated[
        float, typer.Option(min=1, help="Seconds between two status records of each folder.")
    ] = 30.0,
) -> None:
    """Deliver every outbox of this host to Kafka, until SIGTERM or Ctrl-C.

    Run one relay per host. You may stop, kill and restart it at any time: the events wait in the outboxes.
    """
    settings = load_settings(outbox_dir=outbox_dir, metrics_port=metrics_port)
    configure_logging(settings)
    daemon = build_relay(settings, status_interval=status_interval)
    if settings.metrics_port is not None:
        add_build_info(daemon.registry, "relay")
        serve_metrics(settings.metrics_host, settings.metrics_port, daemon.registry, daemon.live, daemon.ready)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    LOG.info("Delivering the outboxes below %s to Kafka at %s.", settings.outbox_dir, settings.kafka.bootstrap_servers)
    daemon.run()
