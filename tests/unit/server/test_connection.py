"""Deadlines of the HTTP server's connections, on a real socket; the time is given, not waited for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from stumble.server import connection
from stumble.server.connection import BODY_SECONDS, HEAD_SECONDS, STALLED_SECONDS, LimitedConnection

CHUNK = b"x" * 65536
_CHUNKS = 128
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer with the body's length; at /large with more than a socket holds."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/whole":
        await send({"type": "http.response.body", "body": CHUNK * _CHUNKS, "more_body": True})
    for _ in range(_CHUNKS if scope["path"] == "/large" else 0):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": str(length).encode()})


class RunningServer:
    """A server, and its clients."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self._server = server
        self._port = port

    async def connect(self, sent: bytes) -> Client:
        """Connect with a small buffer and send the bytes; returns when the server has read them."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", self._port))
        reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.2)
        return reader, writer

    async def pass_time(self, seconds: float) -> None:
        """Do what the server does every second: now, and after as many seconds."""
        now = asyncio.get_running_loop().time()
        for at in (now, now + seconds):
            connection.end_overdue(list(self._server.server_state.connections), at)
        await asyncio.sleep(0.1)

    @property
    def open(self) -> int:
        """Number of open connections."""
        return len(self._server.server_state.connections)


@asynccontextmanager
async def running() -> AsyncIterator[RunningServer]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=LimitedConnection, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    serving = asyncio.create_task(server._serve([listening]))  # noqa: SLF001  # `serve` takes over the signals
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield RunningServer(server, listening.getsockname()[1])
    finally:
        server.force_exit = server.should_exit = True
        await serving
        listening.close()


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        pytest.param(b"", HEAD_SECONDS, id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: ", HEAD_SECONDS, id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", BODY_SECONDS, id="half a body"),
        pytest.param(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", STALLED_SECONDS, id="no reading of the response"),
    ],
)
def test_connection_is_ended_when_its_time_is_over_and_not_before(sent: bytes, seconds: float) -> None:
    async def scenario() -> tuple[int, int]:
        async with running() as server:
            _, writer = await server.connect(sent)
            await server.pass_time(seconds - 1)
            before = server.open
            await server.pass_time(seconds + 1)
            writer.close()
            return before, server.open

    assert asyncio.run(scenario()) == (1, 0)


def test_bytes_that_drip_do_not_extend_the_time() -> None:
    async def scenario() -> int:
        async with running() as server:
            _, writer = await server.connect(b"GET / HTTP/1.1\r\nX: ")
            await server.pass_time(HEAD_SECONDS - 1)
            writer.write(b"a")
            await asyncio.sleep(0.1)
            await server.pass_time(HEAD_SECONDS + 1)
            writer.close()
            return server.open

    assert asyncio.run(scenario()) == 0


def test_client_that_reads_on_gets_the_whole_response() -> None:
    async def scenario() -> int:
        async with running() as server:
            reader, writer = await server.connect(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            size = 0
            while data := await reader.read(1 << 20):
                size += len(data)
                await server.pass_time(0) if size < 1 << 20 else None
            writer.close()
            return size

    assert asyncio.run(scenario()) > _CHUNKS * len(CHUNK)


def test_connection_with_many_requests_has_the_time_for_each() -> None:
    async def scenario() -> bytes:
        async with running() as server:
            reader, writer = await server.connect(b"")
            for _ in range(3):
                await server.pass_time(HEAD_SECONDS / 2)
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = await reader.readuntil(b"\r\n\r\n")
                await reader.readuntil(b"0\r\n\r\n")
            writer.close()
            return answer

    assert asyncio.run(scenario()).startswith(b"HTTP/1.1 200")


def test_new_connection_above_the_limit_ends_the_one_that_waits_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 3)

    async def scenario() -> tuple[int, bytes, bytes]:
        async with running() as server:
            clients = [await server.connect(b"GET / HTTP/1.1\r\n") for _ in range(3)]
            reader, writer = await server.connect(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await reader.readuntil(b"\r\n\r\n")
            oldest = await clients[0][0].read()
            number = server.open
            for _, one in [*clients, (reader, writer)]:
                one.close()
            return number, answer[9:12], oldest

    assert asyncio.run(scenario()) == (3, b"200", b"")


def test_limit_applies_to_connections_that_arrive_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 3)

    async def scenario() -> int:
        async with running() as server:
            clients = await asyncio.gather(*(server.connect(b"") for _ in range(20)))
            number = server.open
            for _, one in clients:
                one.close()
            return number

    assert asyncio.run(scenario()) == 3


def test_slowest_reader_is_ended_when_too_much_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_UNREAD_BYTES", 2 * len(CHUNK) * _CHUNKS)

    async def scenario() -> tuple[int, int, bytes]:
        async with running() as server:
            clients = [await server.connect(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(2)]
            await server.pass_time(1)
            before = server.open
            clients += [await server.connect(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(2)]
            await server.pass_time(1)
            after = server.open
            answer = await clients[-1][0].read(12)
            for _, writer in clients:
                writer.close()
            return before, after, answer

    before, after, answer = asyncio.run(scenario())
    assert before == 2
    assert 2 <= after < 4
    assert answer == b"HTTP/1.1 200"
