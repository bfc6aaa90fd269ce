"""A store, and helpers that insert failures and outcomes as the projector's transaction does."""

from __future__ import annotations

import json
import threading
import uuid
from contextlib import contextmanager

import psycopg
import pytest

from stumble.alerts.lease_worker import LeaseWorker
from stumble.alerts.pusher import Pusher
from stumble.alerts.receivers.webhooks import Webhooks
from stumble.alerts.sender import WebhookSender
from stumble.alerts.settings import AlertSettings
from stumble.metrics.process import ProcessMetrics
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from tests.support.subscribers import CIPHER


@pytest.fixture(scope="module")
def template(new_database):
    url = new_database()
    migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture
def store(template, new_database):
    return new_database(template=template)


@pytest.fixture
def connection(store):
    with connect(store) as connection:
        yield connection


FAILURE = """insert into failures (failure_id, request_key, instance_uuid, request_id, action, host, exception, reason,
 blame, effect, occurred_at, fingerprint, owner_project_id, kafka_partition)
 select failure_id, request_key, instance_uuid, request_id, action, host, exception, reason, blame, effect,
 to_timestamp(occurred_at / 1e6), fingerprint, owner_project_id, 0
 from json_to_recordset(%s::json) as r (failure_id uuid, request_key uuid, instance_uuid uuid, request_id text,
 action text, host text, exception text, reason text, blame text, effect text, occurred_at bigint,
 fingerprint text, owner_project_id text)"""
PUBLICATION = """insert into publications (kind, subject_id, request_key, instance_uuid, revision, correction, status,
 payload, kafka_partition, incarnation)
 select kind, subject_id, request_key, instance_uuid, revision, revision > 1, status, payload, 0,
 (select max(number) from store_incarnations)
 from json_to_recordset(%s::json) as r (kind text, subject_id uuid, request_key uuid, instance_uuid uuid, revision int,
 status text, payload json)"""


def failure(now_us, **more):
    values = {
        "failure_id": str(uuid.uuid4()), "request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()),
        "request_id": f"req-{uuid.uuid4()}", "action": "create", "host": "compute-1",
        "exception": "PortBindingFailed", "reason": "Binding failed for port", "blame": "DEPENDENCY",
        "effect": "ERROR", "occurred_at": now_us, "fingerprint": "v1:binding", "owner_project_id": "p1",
    }  # fmt: skip
    return {**values, **more}


def publication(payload, *, kind="failure", revision=1, status="CURRENT"):
    subject = payload["failure_id"] if kind == "failure" else payload["request_key"]
    return {
        "kind": kind, "subject_id": subject, "request_key": payload["request_key"],
        "instance_uuid": payload["instance_uuid"], "revision": revision, "status": status, "payload": payload,
    }  # fmt: skip


def insert_failures(connection: psycopg.Connection, failures, publications=None):
    with connection.transaction():
        connection.execute(FAILURE, (json.dumps(failures),))
        rows = publications if publications is not None else [publication(item) for item in failures]
        connection.execute(PUBLICATION, (json.dumps(rows),))


def replace_file(path, text):
    """Replace a file atomically, so that no reader sees a partial file."""
    new_file = path.with_suffix(".new")
    new_file.write_text(text)
    new_file.replace(path)


@contextmanager
def running_alerter(url, *, webhooks=False, **settings):
    """Run a pusher, and with `webhooks` (True, or the keyword arguments of `Webhooks`) a sender."""
    stop = threading.Event()
    # Alertmanager resolves an alert four intervals after its last update: the test must not miss all of them.
    alert_settings = AlertSettings(**{"resend_seconds": 30, "calm_seconds": 0.5, **settings})
    metrics = ProcessMetrics("alerter")
    threads: list[LeaseWorker] = [Pusher(url, alert_settings, metrics, stop, lease_seconds=2)]
    if webhooks:
        options = {"cipher": CIPHER, **(webhooks if isinstance(webhooks, dict) else {})}
        threads.append(WebhookSender(url, Webhooks(alert_settings, metrics, **options), metrics, stop, lease_seconds=2))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
