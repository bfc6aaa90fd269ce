"""`stumble instance`: show a server's last request, last failure and history."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from stumble.cli import tables
from stumble.cli.ask import ApiClient, ApiOption, FormatOption, OutputFormat, examples, uuid

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble instance 5f0e3c1a-6d3e-4a53-9c67-1f6f1f1b7b11",
        "stumble instance UUID --limit 100",
        "stumble instance UUID --format json | jq '.last_request.outcome'",
    ),
)
def instance(
    *,
    server: Annotated[str, typer.Argument(metavar="UUID", callback=uuid, help="UUID of the server.")],
    limit: Annotated[int, typer.Option(min=1, max=500, help="Maximum number of requests in the history.")] = 20,
    format_: FormatOption = OutputFormat.TABLE,
    api: ApiOption = None,
) -> None:
    """Show a server's last request and its outcome, its last failure, and its history."""
    with ApiClient(api) as client:
        result = client.get(f"/v1/instances/{server}", {"limit": limit})
    if format_ is OutputFormat.JSON:
        tables.print_json(result)
        return
    out = tables.console()
    out.print(
        Text.assemble("Server ", tables.plain(result["display_name"] or "", "bold"), " ", result["instance_uuid"])
    )
    if result["last_request"]:
        out.print(Text("\nLast request", style="bold"))
        out.print(tables.request(result["last_request"]))
    out.print(Text("\nLast failure", style="bold"))
    if failure := result["last_failure"]:
        out.print(tables.line(failure), soft_wrap=True)
    else:
        out.print("No failure is recorded for this server.")
    out.print(Text("\nHistory", style="bold"))
    out.print(tables.history(result["history"], out.width))
    if result["next"]:
        out.print(f"There are more than {limit}; raise --limit.", style="dim")
