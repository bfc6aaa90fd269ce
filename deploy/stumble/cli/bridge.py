"""`stumble bridge`: events from the notifications that a cloud sends already."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer
from prometheus_client import REGISTRY

from stumble.bridge.service import Bridge
from stumble.bridge.settings import load
from stumble.cli.ask import examples
from stumble.cli.logs import configure_logging
from stumble.cli.roles import MetricsPortOption
from stumble.metrics.process import serve
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
    rabbit: Annotated[str | None, typer.Option(help="One transport, instead of those of the configuration.")] = None,
    cell: Annotated[str | None, typer.Option(help="Its Nova cell.")] = None,
    outbox_dir: Annotated[
        str | None, typer.Option(help="Where the relay of this host looks.", envvar="STUMBLE_OUTBOX_DIR")
    ] = None,
    metrics_port: MetricsPortOption = None,
) -> None:
    """Translate Nova's notifications from RabbitMQ or Kafka into events, and leave them for this host's relay.

    Nothing of stumble's is needed on Nova's hosts: they send to their transport with driver messagingv2.
    """
    given = [{"name": "default", "url": rabbit, "cell": cell}] if rabbit else None
    settings, transports = load(given, outbox_dir=outbox_dir, metrics_port=metrics_port)
    if not transports.transports:
        raise StumbleError("No transport is configured: add [[bridge.transports]] to the file of STUMBLE_CONFIG.")
    configure_logging(settings)
    made = Bridge(
        transports,
        outbox_dir=settings.outbox_dir,
        state_dir=settings.state_dir,
        host=settings.host,
        cloud=settings.cloud,
    )
    if settings.metrics_port is not None:
        serve(settings.metrics_host, settings.metrics_port, REGISTRY, made.live, made.ready)

    def end(_number: int, _frame: FrameType | None) -> None:
        made.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    made.run()
