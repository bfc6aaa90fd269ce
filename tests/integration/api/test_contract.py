"""The API conforms to its OpenAPI document for any request."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from tests.support.asking import get
from tests.support.rows import Store

load_all_checks()
#: A string that matches its pattern may still be an invalid time (31 February) or an invalid cursor.
EXCLUDED = [CHECKS.get_one("positive_data_acceptance")]


@pytest.fixture(scope="module")
def document(store_and_api: tuple[Store, str]) -> Any:
    store, api = store_and_api
    store.empty()
    request = store.request(request_id="req-1", instance_uuid=uuid.UUID(int=1))
    store.failure(request, failure_id=uuid.UUID(int=2))
    return schemathesis.openapi.from_url(f"{api}/openapi.json")


PATHS = (
    "/v1/failures",
    "/v1/failures/{failure_id}",
    "/v1/sightings",
    "/v1/requests",
    "/v1/requests/{id}",
    "/v1/instances/{uuid}",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/problems",
    "/v1/problems/{fingerprint}",
    "/v1/alerts",
    "/v1/subscriptions",
    "/v1/subscriptions/{id}/deliveries",
    "/v1/dead-letters",
    "/v1/dead-letters/stats",
    "/v1/dead-letters/export",
    "/v1/dead-letters/{partition}/{offset}",
)
CHANGES = (
    ("POST", "/v1/problems/{fingerprint}/resolve"),
    ("POST", "/v1/problems/{fingerprint}/reopen"),
    ("POST", "/v1/problems/{fingerprint}/mute"),
    ("POST", "/v1/problems/{fingerprint}/unmute"),
    ("POST", "/v1/subscriptions"),
    ("DELETE", "/v1/subscriptions/{id}"),
    ("POST", "/v1/subscriptions/{id}/test"),
    ("POST", "/v1/subscriptions/{id}/rotate"),
    ("POST", "/v1/subscriptions/{id}/enable"),
    ("POST", "/v1/subscriptions/{id}/deliveries/{message}/resend"),
    ("POST", "/v1/dead-letters/redrive"),
)
LISTS = ("action", "blame", "exception", "host", "outcome", "stage", "state")
WORDS = (*LISTS, "reason", "request", "project")
TESTED = [*(("GET", path) for path in PATHS), *CHANGES]


def is_valid_in_query(name: str, value: Any) -> bool:
    """Return whether a value becomes valid in a query string: `action=false` is a list of one value there."""
    if name in LISTS and isinstance(value, str | bool | int | float):
        return True
    items = value if isinstance(value, list | tuple) else [value]
    return name in WORDS and any(isinstance(item, bool | int | float) for item in items)


def test_every_route_is_tested(document: Any) -> None:
    described = {(method.upper(), path) for path, methods in document.raw_schema["paths"].items() for method in methods}
    assert {*TESTED, ("GET", "/v1/stream")} == described  # a stream has no end


@pytest.mark.parametrize(("method", "path"), TESTED)
def test_responses_conform_to_the_document(document: Any, method: str, path: str) -> None:
    route = document[path][method]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=route.as_strategy() | route.as_strategy(GenerationMode.NEGATIVE))
    def validate(case: Any) -> None:
        if isinstance(case.query, dict):
            case.query.pop("wait", None)  # the request would block
            assume(not any(is_valid_in_query(name, value) for name, value in case.query.items()))
        case.call_and_validate(excluded_checks=EXCLUDED)

    validate()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/failures",
        f"/v1/failures/{uuid.UUID(int=2)}",
        "/v1/requests/req-1",
        f"/v1/requests?instance={uuid.UUID(int=1)}",
        f"/v1/instances/{uuid.UUID(int=1)}",
    ],
)
def test_responses_with_rows_conform_to_the_document(
    document: Any, store_and_api: tuple[Store, str], path: str
) -> None:
    answer = get(store_and_api[1] + path)
    assert answer.status_code == 200
    pattern = path.partition("?")[0].replace(str(uuid.UUID(int=2)), "{failure_id}")
    pattern = pattern.replace("req-1", "{id}").replace(str(uuid.UUID(int=1)), "{uuid}")
    document[pattern]["GET"].validate_response(answer)
