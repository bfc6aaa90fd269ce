"""`stumble keys`: create keys with which relays sign their records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stumble.cli.ask import examples
from stumble.signatures.signing import create_signing_key
from stumble.signatures.verification import key_file_line
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False)


@app.callback(epilog=examples("stumble keys generate --host cmp1 --directory /etc/stumble"))
def keys() -> None:
    """Create keys with which relays sign their records."""


@app.command(
    epilog=examples(
        "stumble keys generate --host cmp1 --directory /etc/stumble",
        "stumble keys generate --host ironic1 --host ironic-conductor1",
        "stumble keys generate --host '*'      # the relay of a bridge",
    )
)
def generate(
    *,
    host: Annotated[
        list[str],
        typer.Option(help="Host that the relay may name: its own, and those of its Nova services; repeatable."),
    ],
    directory: Annotated[
        Path, typer.Option(help="Directory for the file of the private key.", exists=True, file_okay=False)
    ] = Path(),
) -> None:
    """Create a key pair: write the private key, print the line for the consumers' file of public keys.

    Run it on the relay's host, so that the private key never leaves the host. The relay's user must own the file.
    """
    for name in host:
        if not name or '"' in name or "\\" in name or not name.isprintable():
            raise StumbleError(f"{name!r} is not a host name: give the name that Nova uses for the host, or '*'.")
    try:
        created = create_signing_key(directory)
    except OSError as error:
        raise StumbleError(f"The private key cannot be written to {directory}: {error.strerror}.") from None
    typer.echo(f"Private key of the relay (STUMBLE_KAFKA__SIGNING_KEY_FILE): {created.path}", err=True)
    typer.echo("Line for the table [keys] in the file of public keys (STUMBLE_KAFKA__PUBLIC_KEYS_FILE):", err=True)
    typer.echo(key_file_line(created.key_id, created.public_key, host))
