"""`stumble topics`: compare the Kafka topics with the plan, and create them."""

from __future__ import annotations

from typing import Annotated

import typer
from confluent_kafka.admin import ResourceType
from rich.console import Console
from rich.table import Table

from stumble.cli import tables
from stumble.cli.ask import FormatOption, OutputFormat, examples
from stumble.cli.roles import settings_of
from stumble.provision import acls
from stumble.provision import topics as planned
from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry

app = typer.Typer(add_completion=False)
PartitionsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Partitions of a topic that does not exist yet.", envvar="STUMBLE_KAFKA__TOPIC_PARTITIONS"
    ),
]
ReplicationOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Replicas of each partition; requires as many brokers. From 3 on, two must be in sync.",
        envvar="STUMBLE_KAFKA__TOPIC_REPLICATION",
    ),
]


@app.callback()
def topics() -> None:
    """Compare the Kafka topics with the plan, and create them."""


@app.command(epilog=examples("stumble topics plan", "stumble topics plan --partitions 24 --replication 3"))
def plan(
    *,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Compare each topic with its plan, and show what each role may do; exit status 1 if they differ."""
    kafka = settings_of(needs_database=False).kafka
    result = planned.compare(kafka, planned.plan_topics(kafka, partitions=partitions, replication=replication))
    rights = _granted(kafka)
    if format_ is OutputFormat.JSON:
        rows = [
            {
                "topic": item.plan.name,
                "state": item.state,
                "partitions": [item.partitions, item.plan.partitions],
                "differing": item.differing,
                "settings": item.plan.settings,
            }
            for item in result
        ]
        acls = [[item.role, item.operation.name, item.kind.name, item.name] for item, _ in rights]
        lacking = [[item.role, item.text] for item, held in rights if held is False]
        tables.print_json({"topics": rows, "rights": acls, "lacking": lacking})
    else:
        Console().print(_findings(result), _rights(rights))
    if any(item.state != "fine" for item in result) or any(held is False for _, held in rights):
        raise typer.Exit(1)


@app.command(
    epilog=examples(
        "stumble topics apply",
        "stumble topics apply --partitions 24 --replication 3 --alter",
        "stumble topics apply --grant relay=User:stumble-relay --grant projector=User:stumble-store",
    )
)
def apply(
    *,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    alter: Annotated[bool, typer.Option("--alter", help="Correct settings of existing topics.")] = False,
    rights: Annotated[
        list[str] | None,
        typer.Option("--grant", metavar="ROLE=PRINCIPAL", help="Grant the access that the role needs; repeatable."),
    ] = None,
) -> None:
    """Create the missing topics; existing topics stay unchanged unless --alter is given.

    Roles whose principals are known (--grant, STUMBLE_KAFKA__PRINCIPALS) get the access rules that they need. If a
    schema registry is configured, this program's schemas are registered there.

    At most as many projectors as partitions can share the work. The number of partitions cannot be changed later
    without moving instances to other partitions, so choose it large enough.
    """
    kafka = settings_of(needs_database=False).kafka
    roles = {item.role for item in acls.required_grants(kafka)}
    principals = _principals([*(f"{role}={name}" for role, name in kafka.principals.items()), *(rights or [])], roles)
    wanted = planned.plan_topics(kafka, partitions=partitions, replication=replication)
    for name, result in planned.apply_plans(kafka, wanted, alter=alter):
        typer.echo(f"{name}: {result}")
    for line in acls.grant(kafka, principals) if principals else ():
        typer.echo(line)
    if kafka.schema_registry_url:
        _register(kafka)


def _register(kafka: KafkaSettings) -> None:
    """Register this program's schemas, and require that every reader can read each version."""
    registry = Registry(kafka)
    for topic, schema in planned.value_schemas(kafka).items():
        number = registry.register(topic, schema)
        registry.require_full_transitive(topic)
        typer.echo(f"{topic}: registered {schema.name} as {number}; versions must be FULL_TRANSITIVE")
    registry.close()


def _principals(given: list[str], roles: set[str]) -> dict[str, str]:
    result = {}
    for item in given:
        role, equals, principal = item.partition("=")
        if not equals or role not in roles or not principal.startswith("User:"):
            raise typer.BadParameter(f"{item!r} is not ROLE=User:NAME with a role of {', '.join(sorted(roles))}")
        result[role] = principal
    return result


def _findings(result: list[planned.TopicDifference]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("Topic", "State", "Partitions", "Replicas", "In sync", "Retention", "Differs", "Purpose"):
        table.add_column(title)
    for item in result:
        partitions = f"{item.partitions} of {item.plan.partitions}" if item.partitions else str(item.plan.partitions)
        differs = "; ".join(f"{name} {old} → {new}" for name, (old, new) in item.differing.items())
        replicas = str(item.replication or item.plan.replication)
        in_sync, retention = item.plan.settings["min.insync.replicas"], _retention(item.plan.settings)
        table.add_row(item.plan.name, item.state, partitions, replicas, in_sync, retention, differs, item.plan.purpose)
    return table


def _retention(settings: dict[str, str]) -> str:
    """Return the planned retention of a topic's records."""
    if settings["cleanup.policy"] == "compact":
        return "last of each key"
    return f"{int(settings['retention.ms']) // 86_400_000} days"


def _granted(kafka: KafkaSettings) -> list[tuple[acls.Grant, bool | None]]:
    """Return what each role needs and whether its principal has it; None if that is unknown."""
    wanted = acls.required_grants(kafka)
    try:
        rules = acls.granted(kafka)
    except acls.AclsNotVisible:
        rules = None
    if rules is None:
        return [(item, None) for item in wanted]
    names = kafka.principals
    return [
        (item, not acls.lacking([item], names[item.role], rules) if item.role in names else None) for item in wanted
    ]


def _rights(rights: list[tuple[acls.Grant, bool | None]]) -> Table:
    table = Table(box=None, pad_edge=False, title="Rights", title_justify="left")
    for title in ("Role", "Needs", "On", "Granted"):
        table.add_column(title)
    labels = {True: "yes", False: "no", None: ""}
    for item, held in rights:
        kind = "cluster" if item.kind == ResourceType.BROKER else f"{item.kind.name.lower()} {item.name}"
        table.add_row(item.role, item.operation.name.lower(), kind, labels[held])
    return table
