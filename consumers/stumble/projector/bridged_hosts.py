"""Learns which hosts of Nova a bridge reports for: they have no relay of their own, so no status names them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from stumble.store.json_rows import as_json
from stumble.store.queries import query
from stumble.wire.headers import is_from_bridge, relay_of
from stumble.wire.kafka_record import headers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from stumble.ingest.decoding import DecodedEvent

#: Most pairs of a host and the relay of its bridge that are stored; further ones are ignored.
MAX_BRIDGED: Final = 10_000
#: After this everything is noted again, so that the store knows which hosts are still reported.
_AGAIN_SECONDS: Final = 3600.0


class BridgedHosts:
    """The hosts that events of bridges named. One thread adds events, another one saves."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        #: Hosts whose events no bridge sends, and pairs of a host and a bridge's relay that were noted, in this hour.
        self._others: set[str] = set()
        self._noted: set[tuple[str, str]] = set()
        self._since = now()
        self._unsaved: set[tuple[str, str]] = set()

    def add_event(self, event: DecodedEvent) -> None:
        """Note the host of an event if a bridge sent it. A host that has no bridge is examined once an hour."""
        host = event.fact.origin.host
        if self._now() - self._since > _AGAIN_SECONDS or len(self._others) + len(self._noted) > 2 * MAX_BRIDGED:
            self._others, self._noted, self._since = set(), set(), self._now()
        if host is None or host in self._others:
            return
        headers = headers_of(event.record)
        relay = relay_of(headers)
        if relay is None or "\x00" in relay or not is_from_bridge(headers):
            self._others.add(host)
        elif (host, relay) not in self._noted:
            self._noted.add((host, relay))
            with self._lock:
                if len(self._unsaved) < MAX_BRIDGED:
                    self._unsaved.add((host, relay))

    @property
    def has_unsaved(self) -> bool:
        """Whether `save` has something to store."""
        return bool(self._unsaved)

    def save(self, connection: Connection[Any]) -> None:
        """Store what was noted since the last call; raises psycopg's errors, and then nothing is lost."""
        with self._lock:
            pairs = sorted(self._unsaved)
        if not pairs:
            return
        rows = [{"host": host, "relay_host": relay} for host, relay in pairs]
        connection.execute(query("save_bridged_hosts"), {"rows": as_json(rows), "most": MAX_BRIDGED})
        with self._lock:
            self._unsaved.difference_update(pairs)
