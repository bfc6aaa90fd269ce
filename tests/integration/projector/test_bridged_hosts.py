"""Hosts without a relay are learned from the events of bridges; their requests stall when all bridges are silent."""

from __future__ import annotations

from stumble.ingest.decoding import EventDecoder
from stumble.projector.bridged_hosts import MAX_BRIDGED, BridgedHosts
from stumble.store.queries import query
from stumble.testing.clock import ManualClock
from stumble.testing.events import event, framed
from stumble.testing.in_memory import InMemoryRecord
from stumble.wire.headers import relay_headers


def add(hosts: BridgedHosts, host: str | None, relay: str = "bridge-1", *, is_bridge: bool = True) -> None:
    value = framed(event(host=host))
    record = InMemoryRecord(value, 0, 0, header_list=relay_headers(relay, is_bridge=is_bridge))
    hosts.add_event(EventDecoder().decode_event(record, value, 0, 0))


def stored(writer) -> list[tuple[str, str]]:
    return writer.rows("select host, relay_host from bridged_hosts order by 1, 2")


def test_hosts_of_bridges_are_stored_with_the_relays_of_the_bridges(writer):
    clock = ManualClock()
    hosts = BridgedHosts(clock.steady)
    add(hosts, "n1")
    add(hosts, "n2", is_bridge=False)
    add(hosts, None)
    hosts.save(writer.connection)
    assert stored(writer) == [("n1", "bridge-1")]
    add(hosts, "n1", "bridge-2")  # two bridges read one bus
    add(hosts, "n1")
    add(hosts, "n2")  # its own relay sent an event just now
    hosts.save(writer.connection)
    assert stored(writer) == [("n1", "bridge-1"), ("n1", "bridge-2")]
    add(hosts, "n1")
    assert not hosts.has_unsaved
    clock.advance(3601)
    add(hosts, "n2")
    hosts.save(writer.connection)
    assert stored(writer)[2:] == [("n2", "bridge-1")]


def test_number_of_bridged_hosts_is_limited_and_known_ones_stay(writer):
    writer.connection.execute(
        "insert into bridged_hosts (host, relay_host, last_at)"
        " select 'x' || n, 'b', now() - interval '30 days' from generate_series(1, %s) as n",
        [MAX_BRIDGED - 1],
    )
    hosts = BridgedHosts()
    add(hosts, "n1")
    add(hosts, "n2")
    add(hosts, "x1", "b")
    hosts.save(writer.connection)
    assert not hosts.has_unsaved
    assert writer.rows(
        "select count(*), count(*) filter (where last_at > now() - interval '1 day') from bridged_hosts"
    ) == [(MAX_BRIDGED, 2)]
    expired = writer.connection.execute(query("expire_bridged_hosts"), {"days": 7, "chunk": 2 * MAX_BRIDGED})
    assert expired.rowcount == MAX_BRIDGED - 2


def test_characters_that_the_store_cannot_hold_are_replaced_in_a_host_and_refused_in_a_relay(writer):
    hosts = BridgedHosts()
    add(hosts, "a\0b")
    add(hosts, "n1", "b\0")
    hosts.save(writer.connection)
    assert stored(writer) == [("a\N{REPLACEMENT CHARACTER}b", "bridge-1")]
