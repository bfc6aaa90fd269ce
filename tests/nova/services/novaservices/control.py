"""Functions of Nova that a file can block or let fail, so that a process can be killed inside one of them.

A controlled function named `spawn` reads, when it is called, the file ``spawn-SERVER`` or ``spawn`` in its host's
folder: ``block`` waits until the file is removed; a JSON object raises the exception of its ``class`` (a dotted path)
with its ``arguments`` and ``keywords``. Before that, the call creates a file of the same name with the suffix
``.reached``.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import pathlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "STUMBLE_TEST_CONTROL"
"""Environment variable with this process's own folder of control files."""


def apply_control(name: str, *arguments: Any) -> None:
    """Apply the control file of `name`, if there is one: for the server among the arguments, or for all."""
    folder = pathlib.Path(os.environ[FOLDER])
    servers = [server for one in arguments if isinstance(server := getattr(one, "uuid", None), str)]
    file = next((file for one in servers if (file := folder / f"{name}-{one}").exists()), folder / name)
    if not file.exists():
        return
    file.with_name(f"{file.name}.reached").touch()
    instruction = file.read_text()
    if instruction != "block":
        failure = json.loads(instruction)
        module, _, exception = failure["class"].rpartition(".")
        raise getattr(importlib.import_module(module), exception)(*failure["arguments"], **failure["keywords"])
    while file.exists():
        time.sleep(0.02)


def controlled(name: str, function: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
    """Return `function` under the control of the file `name`, read before the call, or after."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not after:
            apply_control(name, *args, *kwargs.values())
        result = function(*args, **kwargs)
        if after:
            apply_control(name, *args, *kwargs.values())
        return result

    return call
