"""`stumble subscriptions`: manage webhook subscriptions to failures, outcomes and alerts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stumble.alerts.secret_cipher import SecretCipher, new_key
from stumble.alerts.subscriptions import encrypt_again as encrypt_all
from stumble.cli import tables
from stumble.cli.ask import ApiOption, FormatOption, OutputFormat, ask, change, drop, examples
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.store.connect import connect
from stumble.store.version import require_current

app = typer.Typer(add_completion=False, no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the subscription.")]


@app.callback()
def subscriptions() -> None:
    """Manage webhook subscriptions to failures, outcomes and alerts."""


@app.command("ls", epilog=examples("stumble subscriptions ls"))
def list_(*, api: ApiOption = None, format_: FormatOption = OutputFormat.TABLE) -> None:
    """List the subscriptions."""
    items = ask(api, "/v1/subscriptions")["items"]
    if format_ is OutputFormat.TABLE and not items:
        typer.echo("There are no subscriptions.")
        return
    rows = [
        [item["id"], item["url"], item["body"], ", ".join(item["kinds"]), _match(item), _state(item)] for item in items
    ]
    _show(("Subscription", "URL", "Body", "Kinds", "Match", "State"), rows, items, format_)


@app.command(
    epilog=examples(
        "stumble subscriptions add https://hooks.example.org/nova",
        "stumble subscriptions add https://hooks.example.org/nova --kind outcome --match outcome=FAILED",
        "stumble subscriptions add https://hooks.example.org/nova --kind alert --rule 'spread*' --severity critical",
    )
)
def add(
    url: Annotated[str, typer.Argument(help="https URL that accepts POST requests.")],
    *,
    kind: Annotated[list[str] | None, typer.Option(help="failure, outcome or alert; repeatable.")] = None,
    match: Annotated[list[str] | None, typer.Option(help="FIELD=PATTERN as in a rule; repeatable.")] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Only alerts of this rule (a pattern); repeatable. By default all.")
    ] = None,
    severity: Annotated[
        list[str] | None, typer.Option(help="Only alerts of severity info, warning or critical; repeatable.")
    ] = None,
    body: Annotated[str, typer.Option(help="Body format: standard, or alertmanager (webhook version 4).")] = "standard",
    secret: Annotated[str | None, typer.Option(help="Secret, whsec_…; by default one is generated.")] = None,
    api: ApiOption = None,
) -> None:
    """Add a subscription and print its secret, which is not shown again.

    The receiver gets two messages for an alert: when it fires and when it resolves.
    """
    wanted: dict[str, list[str]] = {}
    for item in match or []:
        name, equals, pattern = item.partition("=")
        if not equals:
            raise typer.BadParameter(f"{item} is not FIELD=PATTERN")
        wanted.setdefault(name, []).append(pattern)
    alerts = {"rules": rule or [], "severities": severity or []}
    new = {"url": url, "body": body, "kinds": kind or ["failure"], "match": wanted, **alerts, "secret": secret}
    created = change(api, "/v1/subscriptions", new)
    typer.echo(f"id      {created['id']}\nsecret  {created['secret']}")


@app.command("rm", epilog=examples("stumble subscriptions rm ID"))
def remove(subscription: Id, *, api: ApiOption = None) -> None:
    """Remove a subscription and its log."""
    drop(api, f"/v1/subscriptions/{subscription}")
    typer.echo("Removed.")


@app.command("test", epilog=examples("stumble subscriptions test ID && stumble subscriptions log ID"))
def send_test(subscription: Id, *, api: ApiOption = None) -> None:
    """Send a test message."""
    created = change(api, f"/v1/subscriptions/{subscription}/test", {})
    typer.echo(f"Message {created['message_id']} is queued; the log shows its delivery.")


@app.command(epilog=examples("stumble subscriptions rotate ID"))
def rotate(subscription: Id, *, api: ApiOption = None) -> None:
    """Generate a new secret; until the next rotation, messages are signed with the old one, too."""
    typer.echo(change(api, f"/v1/subscriptions/{subscription}/rotate", {})["secret"])


@app.command("new-key", epilog=examples("stumble subscriptions new-key > subscription_keys"))
def print_new_key() -> None:
    """Print a new key for STUMBLE_SUBSCRIPTION_KEYS, with which the API encrypts the secrets of subscriptions."""
    typer.echo(new_key())


@app.command("encrypt-again", epilog=examples("stumble subscriptions encrypt-again"))
def encrypt_again(*, database_url: DatabaseOption = None) -> None:
    """Encrypt the secrets of all subscriptions with the first key of STUMBLE_SUBSCRIPTION_KEYS.

    The command uses the database and the keys directly, not the API. Exit status 1 if secrets cannot be decrypted with
    any of the keys: replace such a secret with `stumble subscriptions rotate ID`.
    """
    settings = settings_of(database_url)
    url = settings.database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-subscriptions") as connection:
        changed, unreadable = encrypt_all(connection, SecretCipher.of(settings.subscription_keys))
    typer.echo(f"{changed} subscriptions encrypted again.")
    for identity in unreadable:
        typer.echo(
            f"{identity}: its secret cannot be decrypted; run `stumble subscriptions rotate {identity}`", err=True
        )
    if unreadable:
        raise typer.Exit(1)


@app.command(epilog=examples("stumble subscriptions enable ID"))
def enable(subscription: Id, *, api: ApiOption = None) -> None:
    """Enable a subscription that was disabled because its receiver answered 410."""
    change(api, f"/v1/subscriptions/{subscription}/enable", {})
    typer.echo("Enabled.")


@app.command(epilog=examples("stumble subscriptions log ID"))
def log(
    subscription: Id,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of messages.")] = 20,
    api: ApiOption = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show the newest messages and their delivery."""
    items = ask(api, f"/v1/subscriptions/{subscription}/deliveries", {"limit": limit})["items"]
    if format_ is OutputFormat.TABLE and not items:
        typer.echo("There are no messages yet.")
        return
    rows = [
        [
            item["message_id"],
            _content(item),
            item["created_at"][:19],
            str(item["attempts"]),
            str(item["last_status"] or ""),
            _delivery(item),
        ]
        for item in items
    ]
    _show(("Message", "Content", "Created (UTC)", "Attempts", "Status", "Delivery"), rows, items, format_)


@app.command(epilog=examples("stumble subscriptions resend ID MESSAGE"))
def resend(
    subscription: Id,
    message: Annotated[str, typer.Argument(help="Id of the message.")],
    *,
    api: ApiOption = None,
) -> None:
    """Send a message again with the same id."""
    change(api, f"/v1/subscriptions/{subscription}/deliveries/{message}/resend", {})
    typer.echo("The message is queued.")


def _show(titles: tuple[str, ...], rows: list[list[str]], items: list[Any], format_: OutputFormat) -> None:
    if format_ is OutputFormat.JSON:
        tables.print_json(items)
        return
    tables.console().print(tables.rows(titles, rows))


def _match(item: dict[str, Any]) -> str:
    wanted = {**item["match"], "rule": item["rules"], "severity": item["severities"]}
    return " ".join(f"{name}={','.join(patterns)}" for name, patterns in wanted.items() if patterns) or "everything"


def _content(item: dict[str, Any]) -> str:
    if alert := item["alert"]:
        return f"{alert['rule']} {alert['status']}"
    return "test" if item["publication_id"] is None else "failure or outcome"


def _state(item: dict[str, Any]) -> str:
    return f"disabled: {item['disabled_reason']}" if item["disabled_at"] else "enabled"


def _delivery(item: dict[str, Any]) -> str:
    if item["delivered_at"]:
        return f"delivered {item['delivered_at'][:19]}"
    if item["given_up_at"]:
        return f"given up: {item['last_error']}"
    return f"next attempt {item['next_at'][:19]}" + (f" ({item['last_error']})" if item["last_error"] else "")
