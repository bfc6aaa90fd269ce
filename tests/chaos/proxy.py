"""A TCP proxy on loopback whose connections can be stalled, reset, delayed and refused while they are in use."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Literal

Mode = Literal["pass", "stall", "reset", "delay", "refuse"]
_BYTES = 64 << 10
#: With this option, closing sends RST instead of FIN, as a crashed peer or a firewall does.
_RST = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards ``port`` to ``target`` (both on loopback). :meth:`set` may be called from any thread."""

    def __init__(self, port: int, target: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = port
        self._target = target
        self._loop = loop
        self._mode: Mode = "pass"
        self._delay = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def set(self, mode: Mode, delay: float = 0.0) -> None:
        """Change the mode for all connections, also for open ones.

        stall: no data is forwarded, no connection is closed; reset: open connections end with RST, new ones work;
        delay: data is forwarded ``delay`` seconds late; refuse: open and new connections end with RST.
        """
        self._loop.call_soon_threadsafe(self._set, mode, delay)

    def forward_to(self, target: int) -> None:
        """Forward new connections to another port; the old target ends the open ones when it stops."""
        self._target = target

    def _set(self, mode: Mode, delay: float) -> None:
        self._mode, self._delay = mode, delay
        if mode in {"reset", "refuse"}:
            for writer in list(self._writers):
                _reset(writer)
        if mode == "stall":
            self._open.clear()
        else:
            self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._mode == "refuse":
            _reset(writer)
            return
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, target_writer)
        self._writers.update(pair)
        try:
            await asyncio.gather(self._forward(reader, target_writer), self._forward(target_reader, writer))
        finally:
            self._writers.difference_update(pair)
            for one in pair:
                one.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_BYTES):
                await self._open.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()


class Proxies:
    """Any number of proxies in one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self.by_name: dict[str, Proxy] = {}

    def add(self, name: str, port: int, target: int) -> Proxy:
        """Begin to forward ``port`` to ``target``."""
        proxy = Proxy(port, target, self._loop)
        asyncio.run_coroutine_threadsafe(proxy.start(), self._loop).result(10)
        self.by_name[name] = proxy
        return proxy

    def close(self) -> None:
        """Reset all connections and end the thread."""
        for proxy in self.by_name.values():
            asyncio.run_coroutine_threadsafe(proxy.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
