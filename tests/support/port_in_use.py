"""A port that a process uses. Standard library only: `make newcomer` runs with the Python of the system."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def port_in_use(port: int) -> Iterator[None]:
    """Listen on `port`, unless another process uses it, which is as good.

    A local stack that has reserved the port (stumble.local.ports) listens on it only when its API has started:
    until then the port is free, but must not be taken from it.
    """
    with socket.socket(socket.AF_UNIX) as reservation, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            reservation.bind(f"\0stumble-port-{port}")
            listener.bind(("127.0.0.1", port))
            listener.listen()
        reservation.close()  # a stack that starts now must find the listener, not the reservation
        yield
