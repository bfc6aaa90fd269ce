"""What a hostile client sends, and how long it takes: no error of the server, and the other clients are served."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Producer

from stumble.wire.topics import Topics
from tests.support.api_fixtures import running_api
from tests.support.asking import HTTP_TIMEOUT, get
from tests.support.rows import Store

HOSTILE = (
    "%00", "a%00b", "%ff%fe", "%ED%A0%80", "x" * 10_000, "%F0%9F%92%A9" * 300, "-1", "9" * 400, "1e400", "nan", "inf",
    "99999w99999w", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z",
    "_" * 32, "f" * 32, "A" * 32, "%D9%A1-%D9%A1", "9223372036854775808-1", "1-99999999999999999999", "999999999:1",
    "0:999999999999999999", "..%2f..%2fetc%2fpasswd", "%7B%7D", "[::1", "'", "true",
)  # fmt: skip
TEXTS = (
    "a\0b",
    "\ud800",
    "x" * 5000,
    "",
    "http://[::1",
    "http://h\0/",
    "http://\ud800/",
    "99999w99999w",
    "9" * 400 + "h",
)
SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def send(api: str, request: bytes, seconds: float = HTTP_TIMEOUT) -> bytes:
    """Send the bytes and return the first ones of the answer."""
    parts = urlsplit(api)
    assert parts.hostname
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=seconds) as connection:
        connection.sendall(request)
        return connection.recv(65536)


def open_request(stack: ExitStack, api: str, path: str) -> bytes:
    """Start a request, read the first bytes of the answer and then no more."""
    parts = urlsplit(api)
    connection = stack.enter_context(socket.socket())
    connection.settimeout(HTTP_TIMEOUT)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection.recv(12)


def paths_of(document: dict[str, Any], hostile: str) -> Iterator[str]:
    """Yield each path of a GET, and each with one hostile parameter."""
    for path, operations in document["paths"].items():
        if "get" not in operations or path == "/v1/stream":
            continue
        parameters = operations["get"].get("parameters", [])
        names = [one["name"] for one in parameters if one["in"] == "path"]
        values = {name: "1" if name in {"partition", "offset"} else str(uuid4()) for name in names}
        yield from (path.format(**{**values, name: hostile}) for name in names)
        queries = [one for one in parameters if one["in"] == "query"]
        required = [one["name"] for one in queries if one.get("required")]
        for one in queries:
            others = "".join(f"&{name}={uuid4()}" for name in required if name != one["name"])
            yield f"{path.format(**values)}?{one['name']}={hostile}{others}"


def test_no_parameter_of_any_route_causes_an_error_of_the_server(api: str) -> None:
    document = get(f"{api}/openapi.json").json()
    found = []
    with httpx.Client(base_url=api, timeout=HTTP_TIMEOUT) as client:
        for hostile in HOSTILE:
            paths = {*paths_of(document, hostile), f"/requests/{hostile}", f"/find?q={hostile}"}
            found += [path for path in paths if client.get(path).status_code >= 500]
            stream = f"GET /v1/stream?after={hostile} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            found += [stream] if send(api, stream.encode()).startswith(b"HTTP/1.1 5") else []
    assert found == []


def bodies(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield bodies of a model, each with one hostile text."""
    name = str(schema.get("$ref") or next(one["$ref"] for one in schema["anyOf"] if "$ref" in one))
    model = schemas[name.rpartition("/")[2]]
    valid = {"url": "http://192.0.2.1/"} if "url" in model["properties"] else {"dry_run": True}
    base = {key: value for key, value in valid.items() if key in model["properties"]}
    for field in model["properties"]:
        for text in TEXTS:
            for value in (text, [text], {text: text}, {"host": [text]}, 10**30, -1, None):
                yield {**base, field: value}


def test_no_body_of_any_route_causes_an_error_of_the_server(store: Store, api: str) -> None:
    document = get(f"{api}/openapi.json").json()
    found = []
    raw = [b"[" * 100_000, b"\xff\xfe", b"NaN", b'{"limit":1e999}', b'{"url":' + b"9" * 5000 + b"}", b""]
    with httpx.Client(base_url=api, timeout=HTTP_TIMEOUT) as client:
        for path, operations in document["paths"].items():
            for method in {"post", "delete"} & operations.keys():
                filled = path.replace("{fingerprint}", "v1:none")
                for name in ("{id}", "{message}"):
                    filled = filled.replace(name, str(uuid4()))
                content = operations[method].get("requestBody", {}).get("content", {}).get("application/json")
                made = bodies(content["schema"], document["components"]["schemas"]) if content else ()
                for body in [*raw, *(json.dumps(one).encode() for one in made)]:
                    answer = client.request(method, filled, content=body, headers={"content-type": "application/json"})
                    if answer.status_code >= 500:
                        found.append((method, path, body[:80], answer.status_code))
    assert found == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1", 200),
        ("[::1]", 200),
        ("[::1]:8686", 200),
        ("", 400),
        ("[::1]x", 400),
        ("[::1].evil.test", 400),
        ("[::1", 400),
        ("localhost:x", 400),
        ("localhost@evil.test", 400),
        ("127.0.0.1.evil.test", 400),
        ("evil.test", 400),
        ("0.0.0.0", 400),
        ("2130706433", 400),
    ],
)
def test_host_must_be_loopback_and_nothing_else(api: str, host: str, status: int) -> None:
    for path in ("/v1/failures", "/metrics", "/", "/docs", "/static/app.css", "/nothing"):
        answer = send(api, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        expected = 404 if (status, path) == (200, "/nothing") else status
        assert answer.split(b" ")[1] == str(expected).encode(), path


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({}, True),
        ({"origin": "{api}"}, True),
        ({"origin": "{api}", "sec-fetch-site": "same-origin"}, True),
        ({"referer": "{api}/docs"}, True),
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"origin": "http://localhost:3000"}, False),
        ({"origin": "https://127.0.0.1"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://[::1"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
        ({"referer": "http://evil.test/"}, False),
        ({"referer": "http://[::1"}, False),
    ],
)
def test_change_is_accepted_only_from_programs_and_own_pages(api: str, headers: dict[str, str], accepted: bool) -> None:
    given = {name: value.format(api=api) if "{" in value else value for name, value in headers.items()}
    answer = httpx.post(f"{api}/v1/problems/v1:none/unmute", headers=given, timeout=HTTP_TIMEOUT)
    assert answer.status_code == (404 if accepted else 400)


def test_page_of_another_origin_may_link_to_a_page_and_read_nothing(api: str) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "referer": "http://evil.test/"}
    assert get(f"{api}/", headers=link).status_code == 200
    for headers in ({"origin": "http://localhost:1"}, {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}):
        for path in ("/v1/stream", "/v1/dead-letters/export", "/v1/failures"):
            assert get(f"{api}{path}", headers=headers).status_code == 400


def test_body_above_the_limit_is_refused_and_the_connection_stays_usable(api: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"a" * 65536 for _ in range(40))

    with httpx.Client(base_url=api, timeout=HTTP_TIMEOUT) as client:
        for content in (b"a" * (1 << 21), chunks()):
            answer = client.post("/v1/subscriptions", content=content, headers={"content-type": "application/json"})
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/v1/failures").status_code == 200


def test_every_response_has_headers_that_restrict_browsers(api: str) -> None:
    for path in (
        "/v1/failures",
        "/v1/failures?x=1",
        "/v1/nothing",
        "/metrics",
        "/docs",
        "/",
        "/static/app.css",
        "/openapi.json",
    ):
        headers = get(f"{api}{path}").headers
        assert {name: headers.get(name) for name in SAFE_HEADERS} == SAFE_HEADERS, path
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'unsafe-inline'" not in policy
    assert "sha256-" in get(f"{api}/docs").headers["content-security-policy"]
    assert get(f"{api}/v1/failures").headers["cache-control"] == "no-store"


@pytest.fixture(scope="module")
def api_with_dead_letters(
    template_database: str, new_database: Callable[..., str], new_topic: Callable[..., str], kafka: str
) -> Iterator[str]:
    """An API whose dead letter topic has more than the sockets of a client hold."""
    prefix = f"hostile{uuid4().hex[:8]}."
    for topic in (Topics(prefix).actions, Topics(prefix).dlq):
        new_topic(topic, partitions=1)
    producer = Producer({"bootstrap.servers": kafka})
    for _ in range(100):
        producer.produce(Topics(prefix).dlq, b"x" * 250_000)
        producer.poll(0)
    assert producer.flush(60) == 0
    environment = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka, "STUMBLE_KAFKA__TOPIC_PREFIX": prefix}
    with running_api(new_database(template_database), **environment) as api:
        yield api


def test_exports_that_nobody_reads_leave_the_other_routes_answering(api_with_dead_letters: str) -> None:
    api = api_with_dead_letters
    with ExitStack() as stack:
        for _ in range(2):
            assert open_request(stack, api, "/v1/dead-letters/export").endswith(b"200")
        refused = get(f"{api}/v1/dead-letters/export")
        assert (refused.status_code, "2 exports" in refused.json()["detail"]) == (503, True)
        assert refused.headers["retry-after"]
        for path in ("/v1/problems", "/v1/subscriptions", "/v1/alerts", "/v1/dead-letters?limit=1", "/v1/failures"):
            assert get(f"{api}{path}").status_code == 200
    deadline = time.monotonic() + HTTP_TIMEOUT
    while (answer := get(f"{api}/v1/dead-letters/export")).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.text.count("\n") == 100


def test_more_streams_than_the_limit_are_refused_and_others_are_served(api_with_dead_letters: str) -> None:
    api = api_with_dead_letters
    with ExitStack() as stack:
        answers = [open_request(stack, api, "/v1/stream")[9:] for _ in range(405)]
        assert answers == [b"200"] * 400 + [b"503"] * 5
        assert get(f"{api}/v1/failures").status_code == 200
    deadline = time.monotonic() + HTTP_TIMEOUT
    while not send(api, b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 200"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
