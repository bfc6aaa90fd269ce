"""`stumble audit`: compare the store with the topic."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from stumble.audit.audit import Audit, AuditScope
from stumble.audit.repair import repair_store
from stumble.audit.report import READING_REMEDY, RepairRefusedError
from stumble.cli.ask import between, examples
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.projector.settings import ProjectorSettings
from stumble.wire.text import printable_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from stumble.audit.report import AuditReport

app = typer.Typer(add_completion=False)
_EVERY = 2.0
#: Exit status if there is no difference, but not everything could be judged.
_NOT_JUDGED = 3
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=32,
        help="Worker processes besides the command itself, about 100 MB each; 1: threads of the command. "
        "By default two for a long topic if the machine has two cores, else 1.",
        show_default=False,
    ),
]


@app.command(
    epilog=examples(
        "stumble audit",
        "stumble audit --since 2h --until 1h",
        "stumble audit --instance 15db147f-b35b-4889-a0a8-9c0d0d0fd501 --repair",
        "stumble audit --json | jq .differences",
    ),
)
def audit(
    *,
    since_: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Only records that Kafka received since then: 2h, 3d or ISO 8601."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only records that Kafka received before then.")
    ] = None,
    instance: Annotated[UUID | None, typer.Option(help="Only this instance.", show_default=False)] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Correct the differences, then compare again.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print figures and differences as one JSON document.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Differences to list; all are counted.")] = 50,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a store that is behind the topic.")] = 60.0,
    processes: ProcessesOption = None,
    database_url: DatabaseOption = None,
) -> None:
    """Compare the store with the topic and list the differences; exit status 0 if there are none, otherwise 1.

    Exit status 3: there are none, but some records could not be read here, so their events were not judged. A repair
    refuses then: use the release, the schema registry and the public keys of the projectors.

    The audit reads the topic again and derives what the store must hold. Projectors may run at the same time. The audit
    compares only requests that are completely inside the time range and inside the retention of both topic and store;
    it counts the others. It accepts the decisions that the clock made. A record that cannot be read must be in the dead
    letter topic. Without a range or an instance, the audit also compares what was published with the topics of failures
    and outcomes.
    """
    settings = settings_of(database_url)
    scope = AuditScope(*between(since_, until, "--since and --until"), str(instance) if instance else None)
    result = Audit(settings, ProjectorSettings(), scope, patience=wait, processes=processes, on_progress=progress())
    try:
        report = first = result.run()
        named = list(result.differences(limit))
        refusal = None
        if repair and (report.unjudged or not report.equal):
            try:
                report = repair_store(result)
            except RepairRefusedError as error:
                refusal = error
        if as_json:
            _print_json(first, report, named)
        else:
            _print_text(first, report, named)
    finally:
        result.close()
    if refusal:
        raise refusal
    raise typer.Exit(exit_status(report))


def exit_status(report: AuditReport) -> int:
    """Return the exit status of a comparison."""
    if not report.equal:
        return 1
    return _NOT_JUDGED if report.unjudged else 0


def verdict(report: AuditReport) -> str:
    """Return the result of a comparison as a sentence."""
    if not report.equal:
        return f"{report.total:,} differences."
    if report.unjudged:
        return (
            f"The rest agrees with the topic, but {report.unjudged:,} events or records could not be judged (one of "
            f"them: {report.unjudged_reason}). {READING_REMEDY}"
        )
    return "The store agrees with the topic."


def progress() -> Callable[[str, int, int], None]:
    """Return a function that prints progress to standard error, at most every two seconds."""
    began: dict[str, tuple[float, int]] = {}
    last = time.monotonic()

    def report(doing: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        start, before = began.get(doing, (now, done))
        if done <= before:  # the work starts, or starts again
            start, before = began[doing] = now, done
        if now - last >= _EVERY:
            last = now
            of = f" of {total:,}" if total else ""
            rate = f", {(done - before) / (now - start):,.0f}/s" if now > start else ""
            typer.echo(f"{doing} {done:,}{of}{rate}", err=True)

    return report


def _print_json(first: AuditReport, last: AuditReport, named: list[dict[str, Any]]) -> None:
    document = first.as_json() | {"found": named}
    if last is not first:
        document |= {"equal": last.equal, "repaired": last.repaired, "left": last.differences}
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _print_text(first: AuditReport, last: AuditReport, named: list[dict[str, Any]]) -> None:
    for one in named:
        owner = f" of {one['instance_uuid']} {one['request_id'] or ''}".rstrip() if one["instance_uuid"] else ""
        text = f"{one['kind']:<9} {one['what']} {one['id']}{owner}: {one['detail']}"
        typer.echo(printable_text(text).replace("\n", " "))
    total = first.total
    if total > len(named):
        typer.echo(f"… and {total - len(named):,} more (raise --limit to list them)")
    for line in _summary(first):
        typer.echo(line)
    if last is not first:
        typer.echo(f"Found {total:,} differences and repaired: " + _counted(last.repaired))
    typer.echo(verdict(last))


def _counted(done: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in done.items()) + "."


def _summary(report: AuditReport) -> list[str]:
    rate = report.records / report.seconds if report.seconds else 0
    result = f"{report.instances:,} instances, {report.requests:,} requests, {report.failures:,} failures"
    lines = [f"{report.records:,} records, {result} in {report.seconds:.1f} s ({rate:,.0f} records/s)"]
    lines += [f"left out: {count:,} {why}" for why, count in report.left_out.items()]
    lines += [f"accepted decisions: {count:,} {kind}" for kind, count in sorted(report.decisions.items())]
    if report.published:
        lines.append(f"{report.published:,} published records compared with the store")
    if report.unreadable:
        lines.append(f"{report.unreadable:,} records cannot be read, {report.dead_letters:,} of them are dead letters")
    lines += [
        f"never in the topic: {host} refused {counts['refused']:,} events, Kafka rejected {counts['rejected']:,}"
        for host, counts in report.refused.items()
    ]
    return lines
