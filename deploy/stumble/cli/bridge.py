"""`stumble bridge`: translate the notifications that a cloud already sends into events."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer
from prometheus_client import REGISTRY

from stumble.bridge.service import Bridge
from stumble.bridge.settings import load_bridge_settings
from stumble.cli.ask import examples
from stumble.cli.logs import configure_logging
from stumble.cli.roles import MetricsPortOption
from stumble.metrics.build_info import add_build_info
from stumble.metrics.process import serve_metrics
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "STUMBLE_CONFIG=/etc/stumble/bridge.toml stumble bridge",
        "stumble bridge --rabbit rabbit://openstack:secret@rabbit1:5672/ --cell cell1",
    ),
)
def bridge(
    *,
    rabbit: Annotated[
        str | None, typer.Option(help="URL of one transport, used instead of the configured ones.")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="Nova cell of that transport.")] = None,
    outbox_dir: Annotated[
        str | None, typer.Option(help="Outbox directory that this host's relay reads.", envvar="STUMBLE_OUTBOX_DIR")
    ] = None,
    metrics_port: MetricsPortOption = None,
) -> None:
    """Translate Nova's notifications from RabbitMQ or Kafka into events, and write them to this host's outbox.

    Nova's hosts need no part of stumble: they send to their transport with driver messagingv2.
    """
    given = [{"name": "default", "url": rabbit, "cell": cell}] if rabbit else None
    settings, transports = load_bridge_settings(given, outbox_dir=outbox_dir, metrics_port=metrics_port)
    if not transports.transports:
        raise StumbleError(
            "No transport is configured: add [[bridge.transports]] to the file that STUMBLE_CONFIG names."
        )
    configure_logging(settings)
    service = Bridge(
        transports,
        outbox_dir=settings.outbox_dir,
        state_dir=settings.state_dir,
        host=settings.host,
        cloud=settings.cloud,
    )
    if settings.metrics_port is not None:
        add_build_info(REGISTRY, "bridge")
        serve_metrics(settings.metrics_host, settings.metrics_port, REGISTRY, service.live, service.ready)

    def end(_number: int, _frame: FrameType | None) -> None:
        service.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    service.run()
