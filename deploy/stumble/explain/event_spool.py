"""Stores events on disk as the store would have them, to read them again server by server with little memory."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Final, Self

from stumble.emitter.failure import mask_attributes, mask_failure
from stumble.translate import fields
from stumble.wire import codec
from stumble.wire.errors import InvalidEvent, WireError
from stumble.wire.schemas import EVENT

Event = dict[str, Any]
_LENGTH: Final = struct.Struct("!I")
#: Bytes that stay in memory before a file is made.
_IN_MEMORY: Final = 16 << 20


def stored_form(event: Mapping[str, Any]) -> bytes:
    """Return an event as emitter and projector store it: texts bounded, secrets masked. Raises ``InvalidEvent``."""
    if fields.uuid(event.get("event_id")) is None:
        raise InvalidEvent("an event without a valid id")
    if event.get("instance_uuid") is not None and fields.uuid(event["instance_uuid"]) is None:
        raise InvalidEvent("an event whose server is not a UUID")
    try:
        complete = dict(event)
        if complete.get("failure") is not None:
            complete["failure"] = mask_failure(complete["failure"])
        if complete.get("attributes"):
            complete["attributes"] = mask_attributes(complete["attributes"])
        if not complete.get("emitted_at"):
            complete["emitted_at"] = complete["occurred_at"]
        body = codec.encode_record(EVENT, complete)
        codec.read_record(EVENT, body)
    except (WireError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidEvent(f"an event that cannot be encoded ({type(error).__name__})") from error
    return body


class EventSpool:
    """A temporary file of events, and where the events of each server are in it. A context manager.

    A failure that names no server belongs to the only server with its request id, as in the store; where several have
    the id, to none.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._end = 0
        self._by_server: dict[str, array[int]] = {}
        #: Events without a server by the request id that can join them; None: nothing can.
        self._without_server: dict[str | None, array[int]] = {}
        self._servers_of_request: dict[str, set[str]] = {}
        self._servers_of_global: dict[str, set[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, event: Mapping[str, Any]) -> None:
        """Append one event. Raises ``InvalidEvent``."""
        body = stored_form(event)
        server, request = fields.uuid(event.get("instance_uuid")), event.get("request_id") or None
        if server is None:
            known = self._without_server.setdefault(request if event.get("failure") else None, array("Q"))
        else:
            known = self._by_server.setdefault(server, array("Q"))
            if request:
                self._servers_of_request.setdefault(request, set()).add(server)
            if event.get("global_request_id"):
                self._servers_of_global.setdefault(event["global_request_id"], set()).add(server)
        known.append(self._end)
        self._file.seek(self._end)
        self._file.write(_LENGTH.pack(len(body)) + body)
        self._end += _LENGTH.size + len(body)

    def servers(self, request: str | None = None) -> list[str]:
        """Return the servers in the order of their first event; ``request``: those with this (global) request id."""
        if request is None:
            return list(self._by_server)
        wanted = self._servers_of_request.get(request, set()) | self._servers_of_global.get(request, set())
        return [server for server in self._by_server if server in wanted]

    def events_by_server(self, servers: Iterable[str]) -> Iterator[tuple[str, list[Event]]]:
        """Yield each server with its events, in the order in which they were added."""
        joined = self._joined()
        for server in servers:
            yield server, self._read(sorted([*self._by_server[server], *joined.get(server, ())]))

    def events_without_server(self) -> list[Event]:
        """Return the events that belong to no server, in the order in which they were added."""
        joined = {offset for offsets in self._joined().values() for offset in offsets}
        return self._read(sorted({offset for known in self._without_server.values() for offset in known} - joined))

    def _joined(self) -> dict[str, list[int]]:
        """Return the events that name no server, by the server that they belong to."""
        result: dict[str, list[int]] = {}
        for request, offsets in self._without_server.items():
            servers = self._servers_of_request.get(request or "", ())
            if len(servers) == 1:
                result.setdefault(next(iter(servers)), []).extend(offsets)
        return result

    def _read(self, offsets: Iterable[int]) -> list[Event]:
        events = []
        for offset in offsets:
            self._file.seek(offset)
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            events.append(codec.read_record(EVENT, self._file.read(length)))
        return events
