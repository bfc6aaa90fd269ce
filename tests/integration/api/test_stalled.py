"""A stalled request over HTTP, on the command line, on the page and in the metrics."""

from __future__ import annotations

from tests.support.asking import get
from tests.support.command import stumble
from tests.support.rows import START, Store

REASON = "No events since 2026-01-31 12:00:03 UTC, longer than the 20 minutes for which stop may have no event."
EVIDENCE = "no reports from cmp-7 since 2026-01-31 11:50:00 UTC"


def test_stalled_request_is_shown_with_reason_and_evidence(store: Store, api: str) -> None:
    one = store.request(outcome="STALLED", reason=REASON, evidence=EVIDENCE, finished_at=START)
    (item,) = get(f"{api}/v1/requests/{one['request_id']}").json()["items"]
    assert (item["outcome"], item["final"]) == ("STALLED", True)
    assert (item["reason"], item["evidence"]) == (REASON, EVIDENCE)

    status, shown, _ = stumble("request", one["request_id"], STUMBLE_API_URL=api)
    text = " ".join(shown.split())
    assert status == 0
    assert f"evidence {EVIDENCE}" in text
    assert "stalled 2026-01-31" in text

    page = get(f"{api}/requests/{one['request_id']}").text
    assert REASON in page
    assert EVIDENCE in page
    assert "<dt>Stalled</dt>" in page
    assert REASON in get(f"{api}/servers/{one['instance_uuid']}").text


def test_metrics_count_stalled_requests_and_silent_hosts(store: Store, api: str) -> None:
    for metric, labels, value in (
        ("requests", ["stop", "STALLED"], 5),
        ("requests_withdrawn", ["stop", "STALLED"], 2),
        ("open", ["stop"], 4),
    ):
        store.insert("counters", kafka_partition=0, metric=metric, labels=labels, value=value)
    for host, ago in (("cmp-1", "10 seconds"), ("cmp-2", "11 minutes"), ("cmp-3", "2 days")):
        store.connection.execute(
            "insert into producers (host, process, reported_at, received_at, alive, backlog_events, backlog_bytes, "
            "accepted_total, sent_total, refused_total, rejected_total, status) "
            "values (%s, 'relay', now() - %s::interval, now() - %s::interval, true, 0, 0, 0, 0, 0, 0, '{}')",
            (host, ago, ago),
        )
    lines = get(f"{api}/metrics").text.splitlines()
    assert 'stumble_action_requests_stalled{action="stop"} 3.0' in lines
    assert 'stumble_action_requests_stalled{action="resize"} 0.0' in lines
    assert 'stumble_action_requests_open{action="stop"} 4.0' in lines
    assert "stumble_silent_hosts 1.0" in lines
