"""During an outage of the database the API answers 503; it recovers by itself."""

from __future__ import annotations

import time

import httpx

from stumble.local.postgres import LocalPostgres
from stumble.store.migrate import migrate
from tests.integration.api.test_stream import Listener
from tests.support.api_fixtures import running_api
from tests.support.asking import get
from tests.support.rows import Store


def test_api_answers_503_during_a_database_outage_and_recovers(own_postgres: LocalPostgres) -> None:
    url = own_postgres.url()
    migrate(url)
    store = Store(url)
    row = store.failure(store.request())
    store.connection.close()
    with running_api(url) as api:
        listener = Listener(api, 1)
        assert get(f"{api}/v1/failures").status_code == 200
        own_postgres.stop()
        for path in ("/v1/failures", "/v1/requests/req-1", "/v1/stream"):
            answer = httpx.get(api + path, timeout=60)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "database cannot be reached" in answer.json()["detail"]
        ready = httpx.get(f"{api}/readyz", timeout=60)
        assert ready.status_code == 503
        assert ready.json()["database"] is False
        assert get(f"{api}/healthz").status_code == 200
        assert "stumble_api_store_up 0.0" in httpx.get(f"{api}/metrics", timeout=60).raise_for_status().text
        own_postgres.start()
        deadline = time.monotonic() + 90
        while httpx.get(f"{api}/v1/failures", timeout=60).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        second_store = Store(url)
        second_store.publish("failure", row)
        # The outage may have ended the stream: its client reconnects with its last event id.
        subjects = listener.subjects() or Listener(api, 1, listener.last_id).subjects()
        assert subjects == [str(row["failure_id"])]
        second_store.connection.close()
