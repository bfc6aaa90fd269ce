"""Requests end within their deadline, and read a limited part of an answer, whatever the server does."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest

from stumble.runtime.http_client import HttpClient
from tests.support.endless_server import IN_BODY, IN_HEADERS, endless_server
from tests.support.receiver import receiver

LIMIT = 1000
#: Generous: it only separates a request that ends from one that does not.
MOST_SECONDS = 20.0


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with closing(HttpClient(seconds=0.5, max_bytes=LIMIT)) as client:
        yield client


def mocked(answer: httpx.Response) -> HttpClient:
    return HttpClient(seconds=5, max_bytes=LIMIT, transport=httpx.MockTransport(lambda _: answer))


@pytest.mark.parametrize("first", [b"", b"H", IN_HEADERS, IN_BODY], ids=["silent", "status", "headers", "body"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_request_to_a_server_that_answers_byte_by_byte_ends_at_the_deadline(client, first, scheme):
    with endless_server(first) as url:
        began = time.monotonic()
        with pytest.raises(httpx.HTTPError):
            client.request("GET", url.replace("http:", f"{scheme}:"))
        assert time.monotonic() - began < MOST_SECONDS


def test_error_at_the_deadline_names_the_deadline(client):
    with (
        endless_server(IN_HEADERS) as url,
        pytest.raises(httpx.TimeoutException, match=r"^no complete answer within 0.5 s$"),
    ):
        client.request("GET", url)


def test_answer_that_starts_in_time_is_returned_without_the_rest_of_its_body(client):
    with endless_server(IN_BODY) as url:
        answer = client.request("POST", url, whole=False)
    assert answer.is_success
    assert set(answer.text) <= {"x"}


def test_endless_servers_do_not_delay_a_request_to_another_server(client):
    with endless_server(IN_HEADERS) as url, receiver() as quick, ThreadPoolExecutor(150) as pool:
        waiting = [pool.submit(client.request, "POST", url, seconds=5) for _ in range(150)]
        assert client.request("POST", quick.url, content=b"1", seconds=MOST_SECONDS).status_code == 204
        assert not any(future.done() for future in waiting)


def test_answer_longer_than_the_limit_is_an_error_or_cut():
    answers = [httpx.Response(200, stream=httpx.ByteStream(b"x" * size)) for size in (LIMIT - 1, LIMIT + 1, LIMIT + 1)]
    assert len(mocked(answers[0]).request("GET", "http://x.example/").content) == LIMIT - 1
    with pytest.raises(httpx.ReadError, match="longer than 1000 bytes"):
        mocked(answers[1]).request("GET", "http://x.example/")
    cut = mocked(answers[2]).request("GET", "http://x.example/", whole=False)
    assert len(cut.content) == LIMIT


def test_compressed_answer_is_not_decompressed():
    packed = gzip.compress(b"\0" * 100_000)
    answer = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(packed))
    assert mocked(answer).request("GET", "http://x.example/").content == packed


def test_redirect_is_not_followed(client):
    with receiver() as first, receiver() as second:
        first.answer = lambda _: (307, {"location": second.url})
        answer = client.request("POST", first.url, content=b"1", seconds=MOST_SECONDS)
        assert (answer.status_code, answer.reason_phrase) == (307, "Temporary Redirect")
        assert second.posts == []


def test_request_whose_body_the_server_does_not_read_ends_at_the_deadline(client):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(httpx.TimeoutException):
            client.request("POST", url, content=b"x" * 50_000_000)


def test_proxy_of_the_environment_has_the_same_deadline(monkeypatch):
    with endless_server(IN_HEADERS) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        with (
            closing(HttpClient(seconds=0.5, max_bytes=LIMIT)) as client,
            pytest.raises(httpx.TimeoutException, match=r"0.5 s"),
        ):
            client.request("GET", "http://elsewhere.example/")


def test_interim_answers_without_end_are_an_error():
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100
    with (
        endless_server(interim, interim, every_seconds=0) as url,
        closing(HttpClient(seconds=60, max_bytes=LIMIT)) as client,
        pytest.raises(httpx.ReadError, match="too long"),
    ):
        client.request("GET", url, whole=False)


def has_addresses(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let each name have these addresses, each with a port of its own."""
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **options: Any) -> list[Any]:
        return rows if host == "several.example" else real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_deadline_is_that_of_the_request_if_no_address_of_a_name_answers(client, monkeypatch):
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        for _ in range(4):  # once the queue of the server is full, further connections wait
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        has_addresses(monkeypatch, *[("127.0.0.1", port)] * 100)
        began = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            client.request("GET", f"http://several.example:{port}/")
        assert time.monotonic() - began < MOST_SECONDS


def test_next_address_of_a_name_is_used_if_the_first_refuses(monkeypatch):
    with receiver() as server, closing(HttpClient(seconds=MOST_SECONDS, max_bytes=LIMIT)) as client:
        port = httpx.URL(server.url).port or 0
        has_addresses(monkeypatch, ("127.0.0.2", port), ("127.0.0.1", port))
        assert client.request("POST", f"http://several.example:{port}/", content=b"1").status_code == 204


def test_name_that_cannot_be_resolved_is_an_error_of_the_connection(client):
    with pytest.raises(httpx.ConnectError):
        client.request("GET", f"http://{'a' * 70}.example/")
