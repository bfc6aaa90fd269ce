"""`stumble alerts`: check rules, test them on stored failures, list firing alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg.rows import dict_row

from stumble.alerts.rehearsal import Rehearsed, rehearse_alerts
from stumble.alerts.rules import ALERT_OUTCOMES, load_rules
from stumble.alerts.settings import AlertSettings
from stumble.cli import tables
from stumble.cli.ask import ApiOption, FormatOption, OutputFormat, ask, examples, parse_time
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.store.connect import connect
from stumble.store.queries import query

app = typer.Typer(add_completion=False, no_args_is_help=True)
_FIRING = ("Rule", "State", "Severity", "Since (UTC)", "Failures", "Cause")
_WOULD_FIRE = ("Would fire (UTC)", "Until", "Rule", "Severity", "Cause", "Failures", "Servers", "Projects")
RulesArgument = Annotated[Path | None, typer.Argument(help="TOML file of rules; by default the configured rules.")]


@app.callback()
def alerts() -> None:
    """Check rules, test them on stored failures, list firing alerts."""


@app.command(epilog=examples("stumble alerts check", "stumble alerts check /etc/stumble/rules.toml"))
def check(rules: RulesArgument = None) -> None:
    """Check a file of rules and print each mistake with its line; exit status 1 if there is one."""
    settings = AlertSettings()
    book = load_rules(rules or settings.rules)
    for warning in book.warnings(alertmanager=bool(settings.alertmanagers)):
        typer.echo(f"note: {warning}")
    typer.echo(f"{len(book.rule)} rules, {sum(rule.enabled for rule in book.rule)} of them enabled: no mistakes.")


@app.command("test", epilog=examples("stumble alerts test --since 7d", "stumble alerts test new-rules.toml --since 1d"))
def rehearse_rules(
    rules: RulesArgument = None,
    *,
    begin: Annotated[
        str, typer.Option("--since", help="Only failures and outcomes since then: 15m, 2h, 3d or an ISO 8601 time.")
    ] = "1d",
    until: Annotated[str | None, typer.Option(help="Only failures and outcomes before then.")] = None,
    database_url: DatabaseOption = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show which alerts the rules would have fired for the stored failures and outcomes. Nothing is sent."""
    settings = settings_of(database_url)
    book = load_rules(rules or AlertSettings().rules)
    first = parse_time(begin) or datetime.now(UTC) - timedelta(days=1)
    last = parse_time(until) or datetime.now(UTC)
    if first >= last:
        raise typer.BadParameter("--until must be later than --since")
    with connect(settings.database_url.get_secret_value(), application="stumble-alerts-test", autocommit=False) as link:
        known = [row[0] for row in link.execute(query("load_known_problems"), {"since": first})]
        resolved = {row[0]: row[1] for row in link.execute(query("load_resolved_problems"))}
        span = {"since": first, "until": last}
        with (
            link.cursor("history", row_factory=dict_row) as history,
            link.cursor("outcomes", row_factory=dict_row) as outcomes,
        ):
            history.execute(query("load_failures_in_order"), span)
            outcomes_of_rules = sorted({outcome for rule in book.rule if rule.enabled for outcome in rule.outcomes})
            outcomes.execute(query("load_outcomes_in_order"), {**span, "outcomes": outcomes_of_rules})
            result = rehearse_alerts(book, history, known, last, outcomes=outcomes, resolved=resolved)
    if format_ is OutputFormat.JSON:
        tables.print_json([_plain(item) for item in result])
    elif result:
        tables.console().print(tables.rows(_WOULD_FIRE, map(_rehearsed, result)))
    else:
        typer.echo("No alert would have fired in that time.")


@app.command("ls", epilog=examples("stumble alerts ls", "stumble alerts ls --all"))
def list_(
    *,
    all_: Annotated[bool, typer.Option("--all", help="Include resolved alerts.")] = False,
    api: ApiOption = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """List the firing alerts."""
    items = ask(api, "/v1/alerts", {"all": all_})["items"]
    if format_ is OutputFormat.JSON:
        tables.print_json(items)
    elif not items:
        typer.echo("No alert is firing.")
    else:
        tables.console().print(tables.rows(_FIRING, map(_firing, items)))


def _cause(problem: str, action: str | None, exception: str | None) -> str:
    """Return the action with the exception, or with the outcome of the requests."""
    outcome = problem.partition(":")[0].upper()
    return f"{action or ''} {exception or (outcome if outcome in ALERT_OUTCOMES else '')}".strip()


def _firing(item: dict[str, Any]) -> tuple[object, ...]:
    last = item["last_payload"]
    exception = last.get("exception")
    cause = _cause(item["problem"], None if exception else last.get("action"), exception)  # a problem has many actions
    since = tables.clock(item["first_occurred_at"])
    return item["rule"], item["state"], item["severity"], since, item["failures"], cause


def _rehearsed(item: Rehearsed) -> tuple[object, ...]:
    return (
        f"{item.starts_at:%Y-%m-%d %H:%M:%S}",
        f"{item.ends_at:%Y-%m-%d %H:%M:%S}" if item.ends_at else "still firing",
        item.rule,
        item.severity,
        _cause(item.problem, item.action, item.exception),
        item.failures,
        len(item.instances),
        len(item.projects),
    )


def _plain(item: Rehearsed) -> dict[str, Any]:
    return {
        "rule": item.rule,
        "severity": item.severity,
        "problem": item.problem,
        "action": item.action,
        "exception": item.exception,
        "starts_at": item.starts_at.isoformat(),
        "ends_at": item.ends_at.isoformat() if item.ends_at else None,
        "failures": item.failures,
        "instances": len(item.instances),
        "projects": len(item.projects),
    }
