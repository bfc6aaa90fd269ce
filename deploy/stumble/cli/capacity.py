"""`stumble capacity`: estimate partitions, disk and database size for a cloud."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from stumble.capacity.plan import Cloud, compute_needs, format_count, format_size
from stumble.cli.ask import FormatOption, OutputFormat, examples

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble capacity --hosts 1000 --actions-per-second 3",
        "stumble capacity --hosts 200 --actions-per-second 1 --topic-days 30 --events-days 30 --requests-days 180",
    )
)
def capacity(
    *,
    hosts: Annotated[int, typer.Option(min=1, help="Hosts that run Nova services.")],
    actions_per_second: Annotated[
        float, typer.Option(min=0, help="Mean over a day; the estimate allows for peaks of five times the mean.")
    ],
    topic_days: Annotated[int, typer.Option(min=1, help="Days that the topic instance-actions retains records.")] = 90,
    events_days: Annotated[int, typer.Option(min=1, help="Days that the store retains raw events.")] = 90,
    requests_days: Annotated[int, typer.Option(min=1, help="Days that the store retains requests and failures.")] = 400,
    copies: Annotated[int, typer.Option(min=1, help="Replicas of each partition.")] = 3,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Estimate partitions, disk and database size for a cloud, from the measured size of events, requests and failures.

    The sizes were measured with the benchmark stream: one request in ten fails, with a traceback of 2 to 8 KB. A cloud
    with fewer failures needs less.
    """
    cloud = Cloud(hosts, actions_per_second, topic_days, events_days, requests_days, copies)
    result = compute_needs(cloud)
    if format_ is OutputFormat.JSON:
        typer.echo(json.dumps(asdict(result) | {"store_bytes": result.store_bytes}, indent=2))
        return
    lines = {
        "events": f"{result.events_per_second:.1f}/s, {format_count(result.events_per_day)} per day",
        "partitions": str(result.partitions),
        "projectors": f"{result.projectors}, one of them as standby",
        "Kafka": f"{format_size(result.kafka_bytes)} in {copies} replicas",
        "database": f"{format_size(result.store_bytes)}: "
        f"{format_size(result.store_events_bytes)} events of {events_days} days, "
        f"{format_size(result.store_requests_bytes)} requests of {requests_days} days",
        "outbox": f"{format_size(result.outbox_bytes)} per host and day without Kafka (limit: 256 MiB)",
    }
    for name, text in lines.items():
        typer.echo(f"{name:<12}{text}")
