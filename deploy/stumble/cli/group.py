"""The commands as one lazy group of typer: a command's module is imported when it is called or completed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]  # typer calls it for its own option
from typer.core import TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stumble.cli.commands import LazyCommand


class LazyGroup(TyperGroup):
    """Reads the commands from the table, so that shell completion of their names imports no command."""

    def __init__(self, table: Mapping[str, LazyCommand]) -> None:
        super().__init__(name="stumble")
        self._table = table
        completion_init()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # typer's interface
        """Return the names of all commands."""
        return list(self._table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return a command; while command names are completed, return a placeholder with the same help."""
        entry = self._table.get(cmd_name)
        if entry is None:
            return None
        if ctx.resilient_parsing and not ctx._protected_args:  # noqa: SLF001  # click has no public attribute for it
            return get_command(_placeholder(entry))
        return load_command(entry)


def load_command(entry: LazyCommand) -> Any:
    """Return the typer command of an entry; raises `ModuleNotFoundError` if its extra is not installed."""
    module, _, attribute = entry.target.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    if isinstance(target, typer.Typer):
        return get_command(target)
    app = typer.Typer(add_completion=False)
    app.command(help=target.__doc__)(target)
    return get_command(app)


def _placeholder(entry: LazyCommand) -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command(help=entry.help)(lambda: None)
    return app
