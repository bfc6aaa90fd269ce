"""Causes of failures: pools of exceptions with messages and tracebacks like Nova's."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from random import Random

#: An exception of a pool: class, message template, module and function of the raising frame.
Kind = tuple[str, str, str, str]


def _read() -> dict[str, tuple[Kind, ...]]:
    text = (files(__package__) / "causes.toml").read_text(encoding="utf-8")
    return {
        pool: tuple((exception, message, *frame.split(":")) for exception, message, frame in kinds)
        for pool, kinds in tomllib.loads(text).items()
    }


POOLS = _read()


@dataclass(frozen=True, slots=True)
class Raised:
    """A raised exception, as far as a signal shows it. `token` identifies the object within its process."""

    exception: str
    message: str
    module: str
    function: str
    traceback: str
    chain: tuple[str, ...]
    token: str


def pick(pool: str, rng: Random) -> Kind:
    """Return a random exception of a pool. Raises KeyError for an unknown pool."""
    return rng.choice(POOLS[pool])


def traceback_of(exception: str, message: str, module: str, function: str, rng: Random) -> str:
    """Return a traceback of 2 to 8 KB that ends with the raising frame and the exception's line."""
    target = rng.randrange(2000, 7600)
    path = module.replace(".", "/")
    lines = ["Traceback (most recent call last):"]
    size = 0
    while size < target:
        number = rng.randrange(20, 11999)
        line = (
            f'  File "/usr/lib/python3/dist-packages/nova/compute/manager.py", line {number}, in '
            f"{_FRAMES[number % len(_FRAMES)]}"
        )
        lines += [line, f"    return self._call_{number}(context, instance=instance, request_spec=request_spec)"]
        size += len(line) + len(lines[-1]) + 2
    lines.append(f'  File "/usr/lib/python3/dist-packages/{path}.py", line {rng.randrange(20, 3000)}, in {function}')
    lines.append(f"    raise exception.{exception}()")
    lines.append(f"{module}.{exception}: {message}")
    return "\n".join(lines)


_FRAMES = ("decorated_function", "_do_build_and_run_instance", "wrapped", "inner", "_error_out_instance", "__exit__")
