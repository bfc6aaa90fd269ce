"""The registry client: which answers are a registry's, which are retried, and which are confirmed later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry, SchemaRejected
from stumble.wire.errors import RegistryUnavailable, UnknownSchema
from stumble.wire.schemas import EVENT

CONFIRMED_LATER = 601.0


def answer(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(json.dumps(body).encode()))


def page(status: int, text: str = "<title>Sign in</title>", **headers: str) -> httpx.Response:
    headers = {"content-type": "text/html", **headers}
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(text.encode()))


def unknown(code: int = 40403) -> httpx.Response:
    return answer(404, {"error_code": code, "message": "Schema not found"})


class Conversation:
    """A registry that gives prepared answers, one after the other, and records what it was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.remaining = list(answers)
        self.asked: list[str] = []
        self.lost = 0
        self.now = 0.0
        self.client = Registry(
            KafkaSettings(schema_registry_url="http://registry.example"),
            httpx.MockTransport(self._answer),
            on_lost_schema=self._count_lost,
            clock=lambda: self.now,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if not self.remaining:
            raise httpx.ConnectError("refused")
        return self.remaining.pop(0)

    def _count_lost(self) -> None:
        self.lost += 1


def registry(*answers: httpx.Response) -> Registry:
    return Conversation(*answers).client


def test_concurrent_registration_is_retried_and_returns_the_id() -> None:
    conflict = answer(409, {"message": "An artifact with ID 'x-value' already exists."})
    assert registry(conflict, answer(200, {"id": 7})).register("x", EVENT) == 7


def test_incompatible_schema_is_rejected() -> None:
    refused = [answer(409, {"error_code": 409, "message": "Incompatible"}) for _ in range(2)]
    with pytest.raises(SchemaRejected, match="Incompatible"):
        registry(*refused).register("x", EVENT)


def test_schemas_of_one_fingerprint_and_two_texts_have_two_ids() -> None:
    client = registry(answer(200, {"id": 7}), answer(200, {"id": 8}))
    other = replace(EVENT, json=EVENT.json + " ")
    assert [client.register("x", schema) for schema in (EVENT, other, EVENT)] == [7, 8, 7]


METHODS: dict[str, Callable[[Registry], Any]] = {
    "register": lambda client: client.register("x", EVENT),
    "id_of": lambda client: client.id_of("x", EVENT),
    "require_full_transitive": lambda client: client.require_full_transitive("x"),
    "compatibility": lambda client: client.compatibility("x"),
    "accepts": lambda client: client.accepts("x", EVENT),
    "versions": lambda client: client.versions("x"),
    "version": lambda client: client.version("x", 1),
    "resolve": lambda client: client.resolve(7),
}
NO_REGISTRY: dict[str, Callable[[], httpx.Response]] = {
    "login page": lambda: page(200),
    "redirect": lambda: page(302, location="https://sso.example/login"),
    "empty object": lambda: answer(200, {}),
    "null": lambda: answer(200, None),
    "text": lambda: answer(200, "ok"),
    "values of other types": lambda: answer(
        200, {"id": "7", "schema": 7, "is_compatible": "yes", "compatibilityLevel": None}
    ),
    "proxy's not found": lambda: page(404),
    "proxy's not found as JSON": lambda: answer(404, {"message": "no route"}),
    "wrong path": lambda: answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"}),
    "proxy's conflict": lambda: page(409),
    "error": lambda: answer(500, {"error_code": 50001, "message": "Error in the backend"}),
    "nested JSON": lambda: page(200, "[" * 200_000),
    "not UTF-8": lambda: httpx.Response(200, stream=httpx.ByteStream(b"\xff\xfe{")),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("other", NO_REGISTRY.values(), ids=NO_REGISTRY)
def test_answer_that_is_no_registrys_means_that_it_is_unavailable(
    method: Callable[[Registry], Any], other: Callable[[], httpx.Response]
) -> None:
    with pytest.raises(RegistryUnavailable, match=r"http://registry\.example"):
        method(registry(other(), other()))


def test_error_names_address_status_and_type_of_the_answer() -> None:
    with pytest.raises(RegistryUnavailable) as caught:
        registry(page(200)).resolve(7)
    assert "http://registry.example is no schema registry (status 200, text/html)" in str(caught.value)
    assert "Sign in" not in str(caught.value)


@pytest.mark.parametrize("schema_id", [-1, 1 << 32])
def test_id_that_no_record_can_contain_is_no_answer(schema_id: int) -> None:
    with pytest.raises(RegistryUnavailable):
        registry(answer(200, {"id": schema_id})).register("x", EVENT)


@pytest.mark.parametrize("code", [40401, 40402, 40403])
def test_id_is_unknown_if_the_registry_says_so_and_has_the_events_subject(code: int) -> None:
    talk = Conversation(unknown(code), answer(200, [1]))
    with pytest.raises(UnknownSchema, match="does not know schema id 7"):
        talk.client.resolve(7)
    assert talk.asked == ["GET /schemas/ids/7", "GET /subjects/instance-actions-value/versions"]


@pytest.mark.parametrize("versions", [unknown(40401), answer(200, [])], ids=["no subject", "no version"])
def test_registry_that_lost_its_schemas_is_unavailable(versions: httpx.Response) -> None:
    with pytest.raises(RegistryUnavailable, match="lost its schemas"):
        registry(unknown(), versions).resolve(7)


def test_subject_without_a_version_accepts_every_schema() -> None:
    assert registry(unknown(40401)).accepts("x", EVENT)


def test_compatibility_is_the_registrys_default_where_the_subject_has_none() -> None:
    assert registry(unknown(40408), answer(200, {"compatibilityLevel": "NONE"})).compatibility("x") == "NONE"


def test_known_id_is_confirmed_once_after_ten_minutes() -> None:
    talk = Conversation(answer(200, {"id": 7}), answer(200, {"id": 7}))
    for talk.now in (0.0, 599.0, CONFIRMED_LATER, CONFIRMED_LATER + 1):
        assert talk.client.register("x", EVENT) == 7
    assert talk.asked == ["POST /subjects/x-value/versions", "POST /subjects/x-value"]
    assert talk.lost == 0


@pytest.mark.parametrize(
    "confirmed",
    [[unknown(40401), answer(200, {"id": 1})], [answer(200, {"id": 1})]],
    ids=["registered again", "registered again by another relay"],
)
def test_schema_that_the_registry_lost_has_a_new_id_and_is_counted(
    confirmed: list[httpx.Response], caplog: pytest.LogCaptureFixture
) -> None:
    talk = Conversation(answer(200, {"id": 7}), *confirmed)
    talk.client.register("x", EVENT)
    talk.now = CONFIRMED_LATER
    assert [talk.client.register("x", EVENT) for _ in range(2)] == [1, 1]
    assert (talk.lost, talk.remaining) == (1, [])
    assert "lost stumble.InstanceActionEvent of x-value, which had id 7; it has id 1 now" in caplog.text


def test_schema_that_the_registry_lost_and_rejects_keeps_its_id(caplog: pytest.LogCaptureFixture) -> None:
    rejected = [answer(409, {"error_code": 409, "message": "Incompatible"}) for _ in range(2)]
    talk = Conversation(answer(200, {"id": 7}), unknown(40401), *rejected)
    talk.client.register("x", EVENT)
    talk.now = CONFIRMED_LATER
    assert talk.client.register("x", EVENT) == 7
    assert (talk.lost, talk.remaining) == (1, [])
    assert "does not register it again" in caplog.text


def test_known_id_stays_in_use_while_the_registry_is_unavailable() -> None:
    talk = Conversation(answer(200, {"id": 7}))
    for talk.now in (0.0, CONFIRMED_LATER, CONFIRMED_LATER + 1):
        assert talk.client.register("x", EVENT) == 7
    assert len(talk.asked) == 2  # the registration, and one attempt to confirm its id
    talk.now = CONFIRMED_LATER + 61
    talk.client.register("x", EVENT)
    assert (len(talk.asked), talk.lost) == (3, 0)
