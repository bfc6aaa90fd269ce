"""Free TCP ports on the loopback address, stored so that a restart uses the same addresses."""

from __future__ import annotations

import errno
import json
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LOOPBACK", "free_port", "is_free", "remembered_port", "reserve"]

LOOPBACK = "127.0.0.1"
_RESERVED: set[int] = set()


def is_free(port: int) -> bool:
    """Whether no process listens on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def reserve(port: int) -> bool:
    """Reserve `port` for this process; False if a server listens on it or another local stack has reserved it.

    Some seconds pass until a server listens on its port: two stacks that start together would choose the same one.
    The reservation is an abstract socket address, which the kernel gives to one process at a time and frees with it.
    """
    if port not in _RESERVED:
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0stumble-port-{port}")
        except OSError as error:
            reservation.close()
            if error.errno == errno.EADDRINUSE:
                return False
            return is_free(port)  # a kernel without abstract addresses reserves nothing
        reservation.detach()  # held open until the process ends
        _RESERVED.add(port)
    return is_free(port)


def free_port() -> int:
    """Return a port that no process listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def remembered_port(state: Path, name: str, *, wanted: int | None = None) -> int:
    """Return the port that `name` had last time, else `wanted`, else any: the first that can be reserved now."""
    path = state / "ports.json"
    ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    used = {port for other, port in ports.items() if other != name}
    candidates = [port for port in (ports.get(name), wanted) if port and port not in used]
    port = next((port for port in candidates if reserve(port)), None) or free_port()
    if ports.get(name) != port:
        state.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({**ports, name: port}, indent=1))
        fresh.replace(path)
    return port
