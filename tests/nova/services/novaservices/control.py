"""Functions of Nova that a file can hold up or let fail, so that a process is killed exactly in the middle of one.

A controlled function named `spawn` looks, when it is called, for the file ``spawn-SERVER`` or ``spawn`` in its host's
folder. What it says is done: ``block`` waits until the file is gone, ``raise nova.exception.X`` raises. The call is
announced first, by a file with the suffix ``.reached`` beside it.
"""

from __future__ import annotations

import functools
import importlib
import os
import pathlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "STUMBLE_TEST_CONTROL"
"""Environment variable with this process's own folder of control files."""


def obey(name: str, *arguments: Any) -> None:
    """Do what the control file of `name` says, if there is one: for the server among the arguments, or for all."""
    folder = pathlib.Path(os.environ[FOLDER])
    servers = [found for one in arguments if isinstance(found := getattr(one, "uuid", None), str)]
    file = next((file for one in servers if (file := folder / f"{name}-{one}").exists()), folder / name)
    if not file.exists():
        return
    file.with_name(f"{file.name}.reached").touch()
    words = file.read_text().split()
    if words[0] == "raise":
        module, _, exception = words[1].rpartition(".")
        raise getattr(importlib.import_module(module), exception)(*words[2:])
    while file.exists():
        time.sleep(0.02)


def controlled(name: str, function: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
    """Return `function` under the control of the file `name`, asked before it works, or after."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not after:
            obey(name, *args, *kwargs.values())
        result = function(*args, **kwargs)
        if after:
            obey(name, *args, *kwargs.values())
        return result

    return call
