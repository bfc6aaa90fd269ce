"""`stumble topics`: the Kafka topics as they should be, beside what is there."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stumble.consumers import topics as planned
from stumble.deploy.cli.ask import Format, FormatOption, examples
from stumble.deploy.cli.roles import settings_of

app = typer.Typer(add_completion=False)
PartitionsOption = Annotated[int, typer.Option(min=1, help="Partitions of a topic that isn't there yet.")]
ReplicationOption = Annotated[
    int,
    typer.Option(min=1, help="Copies of each partition; as many brokers are needed. From 3 on two must be in sync."),
]


@app.callback()
def topics() -> None:
    """Plan, create and guard the Kafka topics."""


@app.command(epilog=examples("stumble topics plan", "stumble topics plan --partitions 24 --replication 3"))
def plan(
    *, partitions: PartitionsOption = 12, replication: ReplicationOption = 1, format_: FormatOption = Format.TABLE
) -> None:
    """Show each topic as it should be beside what is there, and what each role may do; exit 1 if they differ."""
    kafka = settings_of().kafka
    found = planned.compare(kafka, planned.plan(kafka, partitions=partitions, replication=replication))
    rights = planned.grants(kafka)
    if format_ is Format.JSON:
        rows = [
            {
                "topic": item.plan.name,
                "verdict": item.verdict,
                "partitions": [item.partitions, item.plan.partitions],
                "differing": item.differing,
                "settings": item.plan.settings,
            }
            for item in found
        ]
        acls = [[item.role, item.operation.name, item.kind.name, item.name] for item in rights]
        Console(soft_wrap=True).print_json(data={"topics": rows, "rights": acls})
    else:
        Console().print(_findings(found), _rights(rights))
    if any(item.verdict != "fine" for item in found):
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
    partitions: PartitionsOption = 12,
    replication: ReplicationOption = 1,
    alter: Annotated[bool, typer.Option("--alter", help="Mend settings of topics that are there.")] = False,
    rights: Annotated[
        list[str] | None, typer.Option("--grant", metavar="ROLE=PRINCIPAL", help="Let it do what its role needs.")
    ] = None,
) -> None:
    """Create the topics that are missing; what is there stays as it is unless --alter is given.

    The number of partitions is the most projectors that can share the work. It can't be changed later without
    moving instances to other partitions, so choose it with room.
    """
    kafka = settings_of().kafka
    principals = _principals(rights or [], {item.role for item in planned.grants(kafka)})
    wanted = planned.plan(kafka, partitions=partitions, replication=replication)
    for name, told in planned.apply(kafka, wanted, alter=alter):
        typer.echo(f"{name}: {told}")
    for line in planned.grant(kafka, principals) if principals else ():
        typer.echo(line)


def _principals(given: list[str], roles: set[str]) -> dict[str, str]:
    found = {}
    for item in given:
        role, equals, principal = item.partition("=")
        if not equals or role not in roles or not principal.startswith("User:"):
            raise typer.BadParameter(f"{item!r} is not ROLE=User:NAME with a role of {', '.join(sorted(roles))}")
        found[role] = principal
    return found


def _findings(found: list[planned.Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("Topic", "Is", "Partitions", "Copies", "Differs", "For"):
        table.add_column(title)
    for item in found:
        there = f"{item.partitions} of {item.plan.partitions}" if item.partitions else str(item.plan.partitions)
        differs = "; ".join(f"{name} {old} → {new}" for name, (old, new) in item.differing.items())
        copies = str(item.replication or item.plan.replication)
        table.add_row(item.plan.name, item.verdict, there, copies, differs, item.plan.purpose)
    return table


def _rights(rights: list[planned.Grant]) -> Table:
    table = Table(box=None, pad_edge=False, title="Rights", title_justify="left")
    for title in ("Role", "May", "On"):
        table.add_column(title)
    for item in rights:
        table.add_row(item.role, item.operation.name.lower(), f"{item.kind.name.lower()} {item.name}")
    return table
