"""The store's counters exist from the start, are summed over partitions and never fall; health of a process."""

from __future__ import annotations

import math
import re
import time

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stumble.local.ports import free_port
from stumble.metrics.exposition import exemplar, exposition
from stumble.metrics.store import store_metrics
from stumble.outcome.rules import RULES
from stumble.projector.topic_retention import TopicRetention
from stumble.settings.kafka import KafkaSettings
from stumble.store.unknown_exceptions import unknown_exceptions
from stumble.testing.events import event, failure
from tests.support.asking import get
from tests.support.command import stumble
from tests.support.projection import eventually, stream


def values(writer):
    body, _ = exposition(None, store_metrics(writer.connection))
    lines = body.decode().splitlines()
    lines = [re.sub(r',?incarnation="\d+"', "", line).replace("{}", "") for line in lines]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_counters_exist_with_value_zero_from_the_start(writer):
    exported = values(writer)
    for action in (*RULES, "other"):
        assert exported[f'stumble_action_requests_total{{action="{action}",outcome="FAILED"}}'] == 0
        assert exported[f'stumble_action_failures_total{{action="{action}",blame="CAPACITY"}}'] == 0
        assert exported[f'stumble_action_requests_open{{action="{action}"}}'] == 0
    assert exported["stumble_late_events_total"] == 0


def test_counters_equal_the_store_and_never_fall(writer):
    events = [item.event for item in stream(1200)]
    before = values(writer)
    for start in range(0, len(events), 300):
        writer.write(events[start : start + 300])
        now = values(writer)
        fallen = [name for name in before if "_total" in name and now[name] < before[name]]
        assert fallen == []
        before = now

    def total(prefix):
        return sum(value for name, value in before.items() if name.startswith(prefix))

    (ended, failed) = writer.rows(
        "select (select count(*) from requests where outcome <> 'IN_PROGRESS'), (select count(*) from failures)"
    )[0]
    assert total("stumble_action_requests_total") - total("stumble_action_requests_withdrawn_total") == ended
    assert total("stumble_action_failures_total") - total("stumble_action_failures_withdrawn_total") == failed


def test_openmetrics_exemplar_names_the_request_of_a_failure(writer):
    now = time.time_ns() // 1000
    fields = {"request_id": "req-failed", "action": "stop", "occurred_at": now}
    writer.write([event(**fields), event(**fields, signal="event_finish", phase="ERROR", step="s", failure=failure())])
    body, kind = exposition("application/openmetrics-text; version=1.0.0", store_metrics(writer.connection))
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    failed = [one for one in families["stumble_action_failures"].samples if one.value]
    assert [one.labels["action"] for one in failed] == ["stop"]
    assert failed[0].exemplar.labels["request_id"] == "req-failed"
    assert float(failed[0].exemplar.timestamp) == now / 1e6
    assert not [name for name in families if name.endswith("_created")]


def test_exemplar_respects_the_length_limit():
    assert exemplar(request_id="r" * 119, instance_uuid="i") == {"instance_uuid": "i"}
    assert exemplar(request_id="r" * 118) == {"request_id": "r" * 118}
    assert exemplar(request_id=None) == {}


def test_unknown_action_is_counted_as_other(writer):
    unknown_action = {"action": "invented", "request_id": "req-odd"}
    writer.write([event(**unknown_action), event(**unknown_action, signal="request", phase="END", at=1)])
    exported = values(writer)
    assert not [name for name in exported if "invented" in name]


def test_hosts_can_be_exported_as_one(writer):
    writer.connection.execute(
        """insert into producers (host, process, reported_at, received_at, alive, backlog_events, backlog_bytes,
                                  accepted_total, sent_total, refused_total, rejected_total, status, oldest_unsent_at,
                                  first_at)
           select 'cmp-' || n, 'api', now() - make_interval(mins => n, secs => n), now() - make_interval(mins => n),
                  true, n, 0, 0, 0, n, 0, '{}', '2026-01-01 00:00:00+00'::timestamptz + make_interval(mins => n),
                  now() + make_interval(secs => n)
           from generate_series(1, 20) as n"""
    )
    writer.connection.execute(
        """insert into producers (host, process, reported_at, received_at, alive, backlog_events, backlog_bytes,
                                  accepted_total, sent_total, refused_total, rejected_total, status, first_at)
           select host, 'relay', reported_at, received_at, true, 0, 0, 0, 0, 0, backlog_events + 6,
                  jsonb_build_object('quarantined_total', backlog_events + 1), first_at
           from producers where host in ('cmp-1', 'cmp-4')"""
    )

    def host_metrics(**options):
        text = exposition(None, store_metrics(writer.connection, **options))[0].decode()
        lines = [line for line in text.splitlines() if line.startswith(("stumble_host", "stumble_silent"))]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    per_host, combined = host_metrics(), host_metrics(hosts=False)
    assert len(per_host) == 5 * 20 + 4 + 4
    assert len(combined) == 5 + 4 + 2
    assert combined['stumble_host_outbox_backlog_events{host="all"}'] == sum(range(21))
    assert combined['stumble_host_outbox_oldest_unsent_timestamp_seconds{host="all"}'] == 1767225660
    rejected = "stumble_host_relay_rejected_events_total"
    assert (per_host[f'{rejected}{{host="cmp-1"}}'], per_host[f'{rejected}{{host="cmp-4"}}']) == (7, 10)
    assert combined[f'{rejected}{{host="all"}}'] == 17
    quarantined = "stumble_host_relay_quarantined_records_total"
    assert (per_host[f'{quarantined}{{host="cmp-1"}}'], per_host[f'{quarantined}{{host="cmp-4"}}']) == (2, 5)
    assert combined[f'{quarantined}{{host="all"}}'] == 7
    assert combined["stumble_silent_hosts"] == per_host["stumble_silent_hosts"] == 11
    assert combined['stumble_host_clock_offset_seconds{host="all"}'] == -20
    assert (per_host['stumble_hosts{source="relay"}'], per_host["stumble_hosts_limited"]) == (20, 0)
    limited = host_metrics(max_hosts=3)
    assert len(limited) == 5 * 4 + 4 + 4
    assert (limited['stumble_hosts{source="relay"}'], limited["stumble_hosts_limited"]) == (20, 1)
    assert limited['stumble_host_outbox_backlog_events{host="cmp-3"}'] == 3
    assert limited['stumble_host_outbox_backlog_events{host="other"}'] == sum(range(4, 21))


def test_process_exports_its_own_metrics_and_health(testbed):
    port = free_port()
    process = testbed.start("projector", "--metrics-port", str(port))
    testbed.produce([event(), event(signal="event_finish", phase="ERROR", step="s", at=1, failure=failure())])
    eventually(testbed.lag)
    base = f"http://127.0.0.1:{port}"

    eventually(lambda: "" if "stumble_projector_events_total 2.0" in get(f"{base}/metrics").text else "not counted")
    text = get(f"{base}/metrics").text
    assert re.search(r"stumble_projector_assigned_partitions 4.0", text)
    openmetrics = get(f"{base}/metrics", headers={"Accept": "application/openmetrics-text"}).text
    families = {one.name: one for one in text_string_to_metric_families(openmetrics)}
    buckets = families["stumble_action_request_duration_seconds"].samples
    assert any(one.exemplar and one.exemplar.labels["request_id"] for one in buckets)
    assert re.search(r"stumble_pipeline_lag_seconds_count [1-9]", text)
    assert re.search(r'stumble_build_info{python="[^"]+",role="projector",version="[^"]+"} 1.0', text)
    assert get(f"{base}/healthz").status_code == 200
    assert get(f"{base}/readyz").json()["detail"] == "partitions read: 4"
    assert get(f"{base}/else").status_code == 404
    assert process.poll() is None


def test_class_missing_in_the_taxonomy_is_counted_and_listed(writer, store_url):
    gauge = "stumble_action_failure_exception_classes_unknown"
    assert values(writer)[gauge] == 0
    writer.write([event(failure=failure("NoValidHost")), event(failure=failure("QuantumLinkLost") | {"code": 500})])
    writer.write([event(failure=failure("zfsError") | {"code": None})])
    assert values(writer)[gauge] == 2
    unknown = {one.exception: one for one in unknown_exceptions(writer.connection)}
    assert {name: (one.is_nova, one.failures) for name, one in unknown.items()} == {
        "QuantumLinkLost": (True, 1),
        "zfsError": (False, 1),
    }
    result = stumble("schema", "taxonomy", "--unknown", "--database-url", store_url)
    assert result.returncode == 1
    assert "unknown: QuantumLinkLost (of a Nova release that stumble does not know); failures: 1" in result.stdout


def test_retention_is_that_of_the_topic(kafka, new_topic):
    settings = KafkaSettings(bootstrap_servers=kafka)
    assert TopicRetention(settings, new_topic(**{"retention.ms": "604800000"})).seconds() == 604800
    assert TopicRetention(settings, new_topic(**{"retention.ms": "-1"})).seconds() == math.inf
    assert TopicRetention(settings, "no-such-topic").seconds() is None
