"""`stumble topics`: create the Kafka topics, each with what its use needs."""

from __future__ import annotations

from typing import Annotated

import typer

from stumble.consumers.topics import apply as apply_topics
from stumble.deploy.cli.ask import examples
from stumble.deploy.cli.roles import settings_of

app = typer.Typer(add_completion=False)


@app.callback()
def topics() -> None:
    """Create the Kafka topics."""


@app.command(epilog=examples("stumble topics apply", "stumble topics apply --partitions 24 --replication 3"))
def apply(
    *,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of a topic that isn't there yet.")] = 12,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition; as many brokers are needed.")] = 1,
) -> None:
    """Create the topics that are missing; what is there stays as it is.

    The number of partitions is the most projectors that can share the work. It can't be changed later without
    moving instances to other partitions, so choose it with room.
    """
    settings = settings_of()
    for name, told in apply_topics(settings.kafka, partitions=partitions, replication=replication):
        typer.echo(f"{name}: {told}")
