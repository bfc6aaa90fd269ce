"""The options by which `stumble dlq` chooses dead letters, told once for every command that takes them."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from pydantic import ValidationError

from stumble.cli.ask import since
from stumble.deadletters.selection import DeadLetterFilter
from stumble.runtime.explain import first_mistake

if TYPE_CHECKING:
    from collections.abc import Callable

SinceOption = Annotated[str | None, typer.Option("--since", help="Dead-lettered since: 15m, 2h, 3d or an ISO time.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Dead-lettered before.")]
StageOption = Annotated[
    list[str] | None, typer.Option("--stage", help="What refused it: decode, model, derive or store.")
]
ExceptionOption = Annotated[
    list[str] | None, typer.Option("--exception", metavar="CLASS", help="With or without its module.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="The message holds this.")]
ActionOption = Annotated[list[str] | None, typer.Option("--action", help="Of this action, where it can be read.")]
InstanceOption = Annotated[UUID | None, typer.Option("--instance", help="Of this server, by the record's key.")]
PartitionOption = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="Partition of the topic it came from.")
]
StateOption = Annotated[
    list[str] | None, typer.Option("--state", help="WAITING, REDRIVEN, PARKED (came back too often) or FOREIGN.")
]


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Put the options of the filter before a command's own; the command takes them as one ``selection``."""
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
    """Read the filter from a command's options."""
    words = {
        "stage": stage,
        "exception": exception,
        "reason": reason,
        "action": action,
        "instance": instance,
        "partition": partition,
        "state": [word.upper() for word in state or ()],
    }
    try:
        return DeadLetterFilter.model_validate(
            {"since": since(begin), "until": since(until), **{name: word or None for name, word in words.items()}}
        )
    except ValidationError as error:
        name, reason = first_mistake(error)
        raise typer.BadParameter(f"--{name.partition('.')[0]}: {reason}") from error
