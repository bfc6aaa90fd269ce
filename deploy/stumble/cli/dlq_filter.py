"""The options with which several commands of `stumble dlq` select dead letters."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError

from stumble.cli.ask import parse_time
from stumble.deadletters.selection import DeadLetterFilter
from stumble.runtime.error_texts import first_mistake

if TYPE_CHECKING:
    from collections.abc import Callable

SinceOption = Annotated[
    str | None, typer.Option("--since", help="Dead-lettered since then: 15m, 2h, 3d or an ISO 8601 time.")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="Dead-lettered before then.")]
StageOption = Annotated[
    list[str] | None,
    typer.Option("--stage", help="Stage that failed: signature, decode, model, derive, store or crash; repeatable."),
]
ExceptionOption = Annotated[
    list[str] | None,
    typer.Option("--exception", metavar="CLASS", help="Exception class, with or without its module; repeatable."),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Text that the exception's message contains.")
]
ActionOption = Annotated[
    list[str] | None, typer.Option("--action", help="Action of the event, if the record can be decoded; repeatable.")
]
InstanceOption = Annotated[
    UUID | None, typer.Option("--instance", help="Only records that have this server's UUID as key.")
]
PartitionOption = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="Partition that the record came from; repeatable.")
]
StateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        help="WAITING, REDRIVEN (sent again), PARKED (sent again too often) or FOREIGN (not from this store's topic); "
        "repeatable.",
    ),
]


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the filter's options before a command's own; the command receives them as one ``selection``."""
    shared = inspect.signature(_selection, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters.values()

    @functools.wraps(command)
    def run(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in shared}
        command(selection=_selection(**chosen), **given)

    offered = [*shared.values(), *(parameter for parameter in own if parameter.name != "selection")]
    run.__signature__ = inspect.Signature(offered)  # type: ignore[attr-defined]
    return run


def _selection(
    *,
    begin: SinceOption = None,
    until: UntilOption = None,
    stage: StageOption = None,
    exception: ExceptionOption = None,
    reason: ReasonOption = None,
    action: ActionOption = None,
    instance: InstanceOption = None,
    partition: PartitionOption = None,
    state: StateOption = None,
) -> DeadLetterFilter:
    """Make the filter from a command's options."""
    values = {
        "stage": stage,
        "exception": exception,
        "reason": reason,
        "action": action,
        "instance": instance,
        "partition": partition,
        "state": [value.upper() for value in state or ()],
    }
    try:
        return DeadLetterFilter.model_validate(
            {
                "since": parse_time(begin),
                "until": parse_time(until),
                **{name: value or None for name, value in values.items()},
            }
        )
    except ValidationError as error:
        name, reason = first_mistake(error)
        raise typer.BadParameter(f"--{name.partition('.')[0]}: {reason}") from error
