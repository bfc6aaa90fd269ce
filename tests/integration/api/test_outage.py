"""The database goes away and comes back; the API says so meanwhile and recovers by itself."""

from __future__ import annotations

import time

import httpx

from stumble.local.postgres import LocalPostgres
from stumble.store.migrate import migrate
from tests.integration.api.test_stream import Listener
from tests.support.api_fixtures import running_api
from tests.support.asking import get
from tests.support.rows import Store


def test_the_database_goes_and_comes_back(own_postgres: LocalPostgres) -> None:
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
        again = Store(url)
        again.publish("failure", row)
        # A stream may have ended with the outage: its client comes back with its place.
        told = listener.subjects() or Listener(api, 1, listener.place).subjects()
        assert told == [str(row["failure_id"])]
        again.connection.close()
