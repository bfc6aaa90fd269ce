"""A failure seen without its instance is joined whichever half comes first; what fits several is kept apart."""

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


def states(hand):
    return [row[0] for row in hand.rows("select state from sightings order by event_id")]


@pytest.mark.parametrize("order", ["sighting first", "request first", "together"])
def test_joined_whichever_half_comes_first(hand, store_url, order):
    events = [request(), sighting()]
    if order == "together":
        hand.write(events)
    else:
        for one in reversed(events) if order == "sighting first" else events:
            hand.write([one])
    hand.sweep()
    assert states(hand) == ["JOINED"]
    assert hand.rows("select exception from failures") == [("InstancePowerOffFailure",)]
    assert differences(store_url, events) == []


def test_joined_when_both_halves_commit_at_the_same_time(new_hand, store_url):
    first, second = new_hand(), new_hand()
    mine, theirs = request(request_id="req-2"), sighting("req-2")
    assert first.partition_of(mine) != second.partition_of(theirs)
    start = threading.Barrier(2)

    def write(hand, one):
        start.wait()
        hand.write([one])

    threads = [threading.Thread(target=write, args=pair) for pair in ((first, mine), (second, theirs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owner = first.partition_of(mine)
    first.ledger.sweep(first.connection, {owner: first.offsets[owner]})
    assert states(first) == ["JOINED"]
    assert differences(store_url, [mine, theirs]) == []


def test_only_the_owner_of_the_instance_joins(hand):
    hand.write([sighting()])
    hand.write([request()])
    hand.connection.execute("update sightings set state = 'UNJOINED', instance_uuid = null, joined_partition = null")
    owner = hand.partition_of(request())
    others = {partition: offset for partition, offset in hand.offsets.items() if partition != owner}
    assert hand.ledger.sweep(hand.connection, others) == 0
    assert hand.sweep() == 1


def test_what_fits_several_instances_stays_unjoined(hand, store_url):
    events = [request(), request(OTHER), sighting()]
    hand.write(events)
    hand.sweep()
    assert states(hand) == ["UNJOINED"]
    assert hand.rows("select count(*) from failures") == [(0,)]
    assert differences(store_url, events) == []


def test_a_second_instance_that_turns_up_later_gives_the_sighting_back(hand, store_url):
    events = [request(), sighting(), request(OTHER)]
    for one in events:
        hand.write([one])
        hand.sweep()
    assert states(hand) == ["UNJOINED"]
    assert differences(store_url, events) == []
    assert hand.rows("select status from publications where kind = 'failure' order by id") == [
        ("CURRENT",),
        ("RETRACTED",),
    ]


def test_none_before_the_deadline_stays_unjoined(new_hand):
    hand = new_hand(sighting_patience_seconds=0)
    hand.write([sighting()])
    hand.sweep()
    hand.write([request()])
    hand.sweep()
    assert states(hand) == ["EXPIRED"]
    assert hand.rows("select count(*) from failures") == [(0,)]


def test_the_same_sighting_twice_is_one(hand):
    one = sighting()
    hand.write([one, one])
    hand.write([one, event(event_id=new_event_id(NOW_US), request_id="req-9")])
    assert len(states(hand)) == 1
