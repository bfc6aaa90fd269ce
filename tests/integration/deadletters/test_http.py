"""Dead letters over HTTP: pages of bounded size, and requests from this machine only."""

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
from tests.integration.deadletters.test_redrive import list_dead_letters, records, run_dlq, write_dead_letters
from tests.support.api_fixtures import running_api

pytestmark = pytest.mark.timeout(600)


def kafka_settings(testbed):
    return {name: value for name, value in testbed.environment().items() if name.startswith("STUMBLE_KAFKA__")}


@pytest.fixture
def api(testbed):
    with (
        running_api(testbed.url, **kafka_settings(testbed)) as address,
        httpx.Client(base_url=address, timeout=90) as client,
    ):
        yield client


def test_http_api_lists_exports_and_redrives_dead_letters(testbed, api):
    events = [event(request_id=f"req-{number}", at=number) for number in range(7)]
    write_dead_letters(testbed, [framed(one) for one in events])
    write_dead_letters(testbed, [b"junk \xff"] * 3, stage="decode")
    everything = api.get("/v1/dead-letters").json()
    assert everything["next"] is None
    assert everything["items"] == list_dead_letters(testbed)
    stats = api.get("/v1/dead-letters/stats").json()
    assert stats["looked_at"] == 10
    command = json.loads(run_dlq(testbed, "stats", "--format", "json"))
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
    def check_pages(limit, stage):
        query = {"limit": limit} | ({"stage": stage} if stage else {})
        items, page = [], api.get("/v1/dead-letters", params=query).json()
        while True:
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["next"] is None:
                break
            page = api.get("/v1/dead-letters", params={**query, "cursor": page["next"]}).json()
        assert items == [item for item in everything["items"] if stage in (None, item["stage"])]

    check_pages()

    redrive_by_pages(testbed, api, events)


def redrive_by_pages(testbed, api, events):
    testbed.start()
    options = {"limit": 3}
    dry = api.post("/v1/dead-letters/redrive", json={**options, "dry_run": True}).json()
    assert [item["done"] for item in dry["items"]] == ["WOULD_SEND"] * 3
    assert records(testbed, testbed.topic) == []
    done = []
    while True:
        answer = api.post("/v1/dead-letters/redrive", json=options).json()
        done += [item["done"] for item in answer["items"]]
        if answer["next"] is None:
            break
        options |= {"cursor": answer["next"], "until": answer["until"]}
    assert done == ["SENT"] * 7 + ["SKIPPED"] * 3
    testbed.wait_until_stored(events)
    repeated = api.post("/v1/dead-letters/redrive", json={}).json()
    assert {item["done"] for item in repeated["items"]} == {"SKIPPED"}


def test_foreign_origin_second_redrive_and_missing_broker_are_refused(testbed, api):
    for path in ("/v1/dead-letters", "/v1/dead-letters/export"):
        assert api.get(path, headers={"Origin": "https://elsewhere.example"}).status_code == 400
        assert api.get(path, headers={"Host": "elsewhere.example"}).status_code == 400
    refused = api.post("/v1/dead-letters/redrive", json={}, headers={"Origin": "https://elsewhere.example"})
    assert refused.status_code == 400
    with connect(testbed.url) as session, DeadLetterTopic(testbed.settings) as topic:
        with RedriveCounts(session, topic.topic_id, testbed.topic, 3).alone():
            busy = api.post("/v1/dead-letters/redrive", json={})
            assert busy.status_code == 409
            assert "Another redrive" in busy.json()["detail"]
        assert api.post("/v1/dead-letters/redrive", json={}).status_code == 200
    with running_api(testbed.url, STUMBLE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1") as address:
        unavailable = httpx.get(f"{address}/v1/dead-letters", timeout=90)
        assert unavailable.status_code == 503
        assert "127.0.0.1:1 does not answer" in unavailable.json()["detail"]
    # The list predicts with the public keys of the configuration: without them it would predict what is not true.
    with running_api(testbed.url, **kafka_settings(testbed), STUMBLE_KAFKA__PUBLIC_KEYS_FILE="/missing") as address:
        unavailable = httpx.get(f"{address}/v1/dead-letters", timeout=90)
        assert unavailable.status_code == 503
        assert "/missing cannot be read" in unavailable.json()["detail"]
