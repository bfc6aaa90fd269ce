"""The same over HTTP: one answer at a time, bounded, from this machine only."""

from __future__ import annotations

import base64
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stumble.deadletters.reader import DeadLetterTopic
from stumble.deadletters.status import RedriveCounts
from stumble.store.connect import connect
from stumble.testing.events import event, framed
from tests.integration.deadletters.test_redrive import listed, put, records, told
from tests.support.api_fixtures import running_api

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def api(world):
    given = {name: value for name, value in world.environment().items() if name.startswith("STUMBLE_KAFKA__")}
    with running_api(world.url, **given) as address, httpx.Client(base_url=address, timeout=90) as client:
        yield client


def test_the_same_over_http(world, api):
    events = [event(request_id=f"req-{number}", at=number) for number in range(7)]
    put(world, [framed(one) for one in events])
    put(world, [b"junk \xff"] * 3, stage="decode")
    everything = api.get("/v1/dead-letters").json()
    assert everything["next"] is None
    assert everything["items"] == listed(world)
    stats = api.get("/v1/dead-letters/stats").json()
    assert stats["looked_at"] == 10
    command = json.loads(told(world, "stats", "--format", "json"))
    assert (stats["total"], stats["reasons"]) == (command["total"], command["reasons"])
    exported = api.get("/v1/dead-letters/export", params={"stage": "decode"})
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [base64.b64decode(line["value_base64"]) for line in lines] == [b"junk \xff"] * 3
    assert api.get("/v1/dead-letters/0/9").json()["headers"] == lines[-1]["headers"]
    assert api.get("/v1/dead-letters/0/10").status_code == 404
    assert api.get("/v1/dead-letters", params={"stge": "decode"}).status_code == 400

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(limit=st.integers(3, 12), stage=st.sampled_from(["store", "decode", None]))
    def pages_tile(limit, stage):
        asked = {"limit": limit} | ({"stage": stage} if stage else {})
        found, page = [], api.get("/v1/dead-letters", params=asked).json()
        while True:
            assert len(page["items"]) <= limit
            found += page["items"]
            if page["next"] is None:
                break
            page = api.get("/v1/dead-letters", params={**asked, "cursor": page["next"]}).json()
        assert found == [item for item in everything["items"] if stage in (None, item["stage"])]

    pages_tile()

    redrive_by_pages(world, api, events)


def redrive_by_pages(world, api, events):
    world.start()
    order = {"limit": 3, "readable": True}
    dry = api.post("/v1/dead-letters/redrive", json={**order, "dry_run": True}).json()
    assert [item["done"] for item in dry["items"]] == ["WOULD_SEND"] * 3
    assert records(world, world.topic) == []
    done = []
    while True:
        answer = api.post("/v1/dead-letters/redrive", json=order).json()
        done += [item["done"] for item in answer["items"]]
        if answer["next"] is None:
            break
        order |= {"cursor": answer["next"], "until": answer["until"]}
    assert done == ["SENT"] * 7 + ["SKIPPED"] * 3
    world.settle(events)
    again = api.post("/v1/dead-letters/redrive", json={"readable": True}).json()
    assert {item["done"] for item in again["items"]} == {"SKIPPED"}


def test_who_may_ask_and_when_not(world, api):
    for asked in ("/v1/dead-letters", "/v1/dead-letters/export"):
        assert api.get(asked, headers={"Origin": "https://elsewhere.example"}).status_code == 400
        assert api.get(asked, headers={"Host": "elsewhere.example"}).status_code == 400
    refused = api.post("/v1/dead-letters/redrive", json={}, headers={"Origin": "https://elsewhere.example"})
    assert refused.status_code == 400
    with connect(world.url) as session, DeadLetterTopic(world.settings) as topic:
        with RedriveCounts(session, topic.topic_id, world.topic, 3).alone():
            busy = api.post("/v1/dead-letters/redrive", json={})
            assert busy.status_code == 409
            assert "already" in busy.json()["detail"]
        assert api.post("/v1/dead-letters/redrive", json={}).status_code == 200
    with running_api(world.url, STUMBLE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1") as address:
        away = httpx.get(f"{address}/v1/dead-letters", timeout=90)
        assert away.status_code == 503
        assert "127.0.0.1:1 does not answer" in away.json()["detail"]
