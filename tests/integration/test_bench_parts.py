"""Parts of the benchmark restore the state of the servers, so that they can run in any order."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient

from bench import emit_figures
from bench.report import Report
from bench.stack import Stack
from stumble.local.postgres import LocalPostgres


def test_kafka_runs_again_after_the_part_without_a_broker(own_kafka, tmp_path) -> None:
    report = Report(peers={})
    emit_figures.broker_down(report, Stack(own_kafka, LocalPostgres(tmp_path)), runs=1, count=2000)
    client = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers, "log_level": 0})
    assert client.list_topics(timeout=10).brokers
