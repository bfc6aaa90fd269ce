"""A sighting without its instance joins the only instance that fits, in any order of arrival."""

from __future__ import annotations

import threading

import pytest

from stumble.testing.events import NOW_US, event, failure
from stumble.wire.ids import new_event_id
from tests.support.projection import differences

OTHER = "22222222-2222-4222-8222-222222222222"


def request(instance=None, request_id="req-1"):
    fields = {"instance_uuid": instance} if instance else {}
    return event(signal="action_start", request_id=request_id, **fields)


def sighting(request_id="req-1", at=1):
    return event(
        signal="exception",
        phase="ERROR",
        scope="STEP",
        action=None,
        instance_uuid=None,
        request_id=request_id,
        at=at,
        failure=failure(),
        initiator_user_id=None,
        initiator_project_id=None,
    )


def states(writer):
    return [row[0] for row in writer.rows("select state from sightings order by event_id")]


@pytest.mark.parametrize("order", ["sighting first", "request first", "together"])
def test_sighting_is_joined_in_any_order_of_arrival(writer, store_url, order):
    events = [request(), sighting()]
    if order == "together":
        writer.write(events)
    else:
        for one in reversed(events) if order == "sighting first" else events:
            writer.write([one])
    writer.sweep()
    assert states(writer) == ["JOINED"]
    assert writer.rows("select exception from failures") == [("InstancePowerOffFailure",)]
    assert differences(store_url, events) == []


def test_sighting_is_joined_when_both_events_commit_at_the_same_time(new_writer, store_url):
    first, second = new_writer(), new_writer()
    request_event, sighting_event = request(request_id="req-2"), sighting("req-2")
    assert first.partition_of(request_event) != second.partition_of(sighting_event)
    start = threading.Barrier(2)

    def write(writer, one):
        start.wait()
        writer.write([one])

    threads = [threading.Thread(target=write, args=pair) for pair in ((first, request_event), (second, sighting_event))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owner = first.partition_of(request_event)
    first.store_writer.sweep(first.connection, {owner: first.offsets[owner]})
    assert states(first) == ["JOINED"]
    assert differences(store_url, [request_event, sighting_event]) == []


def test_only_the_owner_of_the_instance_joins_a_sighting(writer):
    writer.write([sighting()])
    writer.write([request()])
    writer.connection.execute("update sightings set state = 'UNJOINED', instance_uuid = null, joined_partition = null")
    owner = writer.partition_of(request())
    others = {partition: offset for partition, offset in writer.offsets.items() if partition != owner}
    assert writer.store_writer.sweep(writer.connection, others) == 0
    assert writer.sweep() == 1


def test_sighting_that_fits_several_instances_stays_unjoined(writer, store_url):
    events = [request(), request(OTHER), sighting()]
    writer.write(events)
    writer.sweep()
    assert states(writer) == ["UNJOINED"]
    assert writer.rows("select count(*) from failures") == [(0,)]
    assert differences(store_url, events) == []


def test_joined_sighting_is_released_when_a_second_instance_appears(writer, store_url):
    events = [request(), sighting(), request(OTHER)]
    for one in events:
        writer.write([one])
        writer.sweep()
    assert states(writer) == ["UNJOINED"]
    assert differences(store_url, events) == []
    assert writer.rows("select status from publications where kind = 'failure' order by id") == [
        ("CURRENT",),
        ("RETRACTED",),
    ]


def test_sighting_expires_if_no_instance_appears_before_the_deadline(new_writer):
    writer = new_writer(sighting_patience_seconds=0)
    writer.write([sighting()])
    writer.sweep()
    writer.write([request()])
    writer.sweep()
    assert states(writer) == ["EXPIRED"]
    assert writer.rows("select count(*) from failures") == [(0,)]


def test_repeated_sighting_is_stored_once(writer):
    one = sighting()
    writer.write([one, one])
    writer.write([one, event(event_id=new_event_id(NOW_US), request_id="req-9")])
    assert len(states(writer)) == 1
