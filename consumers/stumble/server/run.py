"""Serves the app until a signal arrives."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from typing import TYPE_CHECKING, Any, NoReturn

import uvicorn

from stumble.api.host_guard import require_loopback
from stumble.server.app import create_app
from stumble.server.connection import LimitedConnection, end_overdue
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from stumble.settings.base import Settings

GRACE_SECONDS = 3
_BACKLOG = 512
_TICKS_PER_SECOND = 10


class CannotListen(StumbleError):
    """The address cannot be bound."""


def bind(host: str, port: int) -> socket.socket:
    """Bind the address, on loopback only; raises `NotLoopback` or `CannotListen`."""
    require_loopback(host)
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is given; with it, each response takes 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((name, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"Port {port} of {host} is in use: stop the process that uses it, or choose another with --port or "
                "STUMBLE_API_PORT.",
            ) from error
        raise CannotListen(f"The API cannot listen on {host} port {port}: {error.strerror}.") from error
    return listening


def address(listening: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_api(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the API until SIGINT or SIGTERM; `announce` gets its URL once it listens."""
    # uvicorn raises the signal again after its shutdown: the process then exits with status 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ended)
    listening = bind(settings.api_host, settings.api_port)
    with listening:
        config = uvicorn.Config(
            create_app(settings),
            http=LimitedConnection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        announce(address(listening))
        _Server(config).run(sockets=[listening])


def _ended(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(0)


class _Server(uvicorn.Server):
    """Ends overdue connections; ends waiting requests and streams before it waits for connections to close."""

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SECOND == 0:
            end_overdue(list(self.server_state.connections), asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: Any = self.config.app
        app.state.context.feed.release()
        await super().shutdown(sockets)
