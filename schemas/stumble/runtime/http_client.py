"""HTTP requests that end: each has one deadline, and a limit of the bytes that are read.

Timeouts of httpx and of sockets begin again at every byte, so a server that sends a byte now and then would hold a
request, and its thread, for ever. Here, connection, TLS, request and answer share one deadline. Only the
resolution of a name can last longer: the timeouts of resolv.conf end it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

#: Bytes of an answer beside its body: headers, and interim answers (status 1xx), of which a server may send any number.
_HEADER_BYTES = 256 << 10
_WRITE_BYTES = 16_384
#: Headers that describe the bytes on the connection; an answer is returned undecoded.
_FRAMING_HEADERS = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class HttpClient:
    """A client whose requests end after `seconds`; redirects are not followed.

    It reads at most `max_bytes` of an answer. Other arguments are those of ``httpx.Client``.
    """

    def __init__(self, *, seconds: float, max_bytes: int, **options: Any) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._client = httpx.Client(timeout=None, limits=limits, **options)  # noqa: S113 - _DeadlineStream has one
        # httpx has no argument for httpcore's network backend. Proxies of the environment have transports of their own.
        for transport in (self._client._transport, *self._client._mounts.values()):  # noqa: SLF001
            if isinstance(transport, httpx.HTTPTransport):
                transport._pool._network_backend = _DeadlineBackend()  # noqa: SLF001

    def request(
        self, method: str, url: str, *, seconds: float | None = None, whole: bool = True, **content: Any
    ) -> httpx.Response:
        """Send one request and return the answer, undecoded; `seconds` replaces the client's own.

        If it need not be `whole`, an answer that is too long or too slow ends where it was read. Raises
        ``httpx.HTTPError``, a ``TimeoutException`` at the deadline, and ``httpx.InvalidURL``.
        """
        seconds = seconds or self._seconds
        token = _current.set(_Limits(time.monotonic() + seconds, self._max_bytes + _HEADER_BYTES))
        try:
            return self._answer(method, url, whole, content)
        except httpx.TimeoutException:
            raise httpx.TimeoutException(f"no complete answer within {round(seconds, 1):g} s") from None
        finally:
            _current.reset(token)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _answer(self, method: str, url: str, whole: bool, content: dict[str, Any]) -> httpx.Response:
        headers = {**(content.pop("headers", None) or {}), "accept-encoding": "identity"}
        received = bytearray()
        with self._client.stream(method, url, headers=headers, **content) as answer:
            try:
                for part in answer.iter_raw():
                    received += part
                    if len(received) > self._max_bytes:
                        break
            except httpx.TimeoutException:
                if whole:
                    raise
        if whole and len(received) > self._max_bytes:
            raise httpx.ReadError(f"the answer is longer than {self._max_bytes} bytes")
        return httpx.Response(
            answer.status_code,
            headers=[(name, value) for name, value in answer.headers.raw if name.lower() not in _FRAMING_HEADERS],
            content=bytes(received[: self._max_bytes]),
            extensions={"reason_phrase": answer.reason_phrase.encode("ascii", "replace")},
        )


@dataclass(slots=True)
class _Limits:
    """What a request may still use. `ends_at` is on the monotonic clock."""

    ends_at: float
    bytes_left: int

    def seconds(self) -> float:
        """Return the seconds until the deadline. Raises ``httpcore.ReadTimeout`` after it."""
        result = self.ends_at - time.monotonic()
        if result <= 0:
            raise httpcore.ReadTimeout
        return result


#: The limits of the request that this thread sends.
_current: ContextVar[_Limits] = ContextVar("_current")


class _DeadlineStream(httpcore.NetworkStream):
    """A connection of which each operation ends at the deadline; httpcore's own timeouts do not apply."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        limits = _current.get()
        result = self._stream.read(max_bytes, limits.seconds())
        limits.bytes_left -= len(result)
        if limits.bytes_left < 0:
            raise httpcore.ReadError("the answer is too long")
        return result

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        for begin in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[begin : begin + _WRITE_BYTES], _current.get().seconds())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, _current.get().seconds()))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DeadlineBackend(httpcore.SyncBackend):
    """Connects to one address of a name after the other; each has an equal part of the time that is left."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _addresses_of(host, port)
        for left in range(len(addresses), 0, -1):
            seconds = _current.get().seconds() / left
            try:
                stream = super().connect_tcp(addresses[-left], port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
            else:
                return _DeadlineStream(stream)
        raise httpcore.ConnectError(f"{host} has no address")


def _addresses_of(host: str, port: int) -> list[str]:
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [socket.getnameinfo(address, numeric)[0] for *_, address in rows]
    except (OSError, UnicodeError) as error:  # no label of a name may be empty or longer than 63 characters
        raise httpcore.ConnectError(str(error)) from error
