"""`stumble api`: serve HTTP API, web pages and metrics."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from stumble.cli.ask import examples
from stumble.cli.logs import configure_logging
from stumble.cli.roles import DatabaseOption
from stumble.server.run import serve_api
from stumble.settings.base import load_settings

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble api",
        "stumble api --port 9000",
        "curl 'http://127.0.0.1:8686/v1/failures?since=1h&blame=CAPACITY'",
    ),
)
def api(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; loopback only.", envvar="STUMBLE_API_HOST")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 uses any free port.", envvar="STUMBLE_API_PORT")
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Serve the HTTP API, the web pages and the store's metrics on loopback.

    It starts without the database, and answers as soon as the database is available.
    """
    settings = load_settings(api_host=host, api_port=port, database_url=database_url)
    configure_logging(settings)
    # The pool logs each failed attempt to connect; each answer of the API reports the outage already.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    serve_api(settings, lambda url: typer.echo(f"API and web pages on {url}, documentation on {url}/docs"))
