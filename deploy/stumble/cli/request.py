"""`stumble request`: show the outcome and all failures of one request."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from stumble.cli import tables
from stumble.cli.ask import ApiClient, ApiOption, FormatOption, OutputFormat, examples

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble request req-0a5b2a5e-7a1f-4c1e-9f43-0a6f1c3c8a11",
        "stumble request REQUEST_ID --format json | jq '.items[].outcome'",
    ),
)
def request(
    *,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="A request id or global request id.")],
    format_: FormatOption = OutputFormat.TABLE,
    api: ApiOption = None,
) -> None:
    """Show the outcome of a request and each of its failures, by attempt and host.

    One id can belong to several servers and actions: all are shown, in the order of their start.
    """
    with ApiClient(api) as client:
        result = client.get(f"/v1/requests/{quote(request_id, safe='')}")
    if format_ is OutputFormat.JSON:
        tables.print_json(result)
        return
    out = tables.console()
    for number, item in enumerate(result["items"]):
        if number:
            out.print()
        out.print(tables.request(item))
