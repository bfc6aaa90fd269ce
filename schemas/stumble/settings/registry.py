"""Client of a schema registry with Confluent's API: registers schemas for writing, resolves ids for reading.

Only an answer in the form of this API is an answer of the registry. Anything else that the address may return (a login
page, a redirect, a proxy's own 404) says nothing about a schema: the caller has to wait. Why stumble has its own client
is in docs/decisions/0023-own-registry-client.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import httpx

from stumble.runtime.http_client import HttpClient
from stumble.settings.kafka import KafkaSettings
from stumble.settings.urls import split_user
from stumble.wire.errors import RegistryUnavailable, StumbleError, UnknownSchema
from stumble.wire.schemas import Schema
from stumble.wire.topics import subject

LOG = logging.getLogger("stumble.registry")
#: Seconds for one request and its answer: where the answer is needed, and where it confirms a known id.
_SECONDS, _CONFIRM_SECONDS = 10.0, 2.0
#: Seconds after which a known id is confirmed, and after which that is tried again if the registry is unavailable.
_CONFIRM_AFTER, _TRY_AGAIN_AFTER = 600.0, 60.0
_ANSWER_BYTES = 4 << 20
#: Most characters of an answer in an error's text.
_SHOWN = 200
_OK, _NOT_FOUND, _CONFLICT = 200, 404, 409
#: Error codes of a registry that has no such subject, version or schema (Confluent's API reference; Apicurio answers
#: with any of the three for an unknown id), and of one without a level for the subject. A wrong path has the code 404.
_UNKNOWN: Final = frozenset({40401, 40402, 40403})
_NO_LEVEL = 40408
#: Ids have four bytes in Confluent's framing.
_IDS = range(1 << 32)
#: The compatibility level of each subject.
REQUIRED_LEVEL = "FULL_TRANSITIVE"
_Value = TypeVar("_Value", int, str, bool)
_CONTENT = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class SchemaRejected(StumbleError):
    """The registry rejects the schema as incompatible with an earlier version of its subject."""


class _KnownId(NamedTuple):
    """The id of a schema, and when to confirm it (monotonic seconds)."""

    schema_id: int
    confirm_at: float


class Registry:
    """Client of one registry. It keeps the ids of registered schemas, and confirms each ten minutes later.

    ``on_lost_schema`` is called when the registry no longer has a schema that it had registered. While it is
    unavailable, known ids stay in use.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        transport: httpx.BaseTransport | None = None,
        *,
        on_lost_schema: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if settings.schema_registry_url is None:
            raise StumbleError("No schema registry is configured: set STUMBLE_KAFKA__SCHEMA_REGISTRY_URL.")
        password = settings.schema_registry_password
        # Without user and password, so that no error text or log line contains them.
        self._url, user = split_user(settings.schema_registry_url.rstrip("/"))
        auth = (settings.schema_registry_user or "", password.get_secret_value()) if password else user
        self._client = HttpClient(seconds=_SECONDS, max_bytes=_ANSWER_BYTES, auth=auth, transport=transport)
        self._events = settings.topics.actions
        self._on_lost_schema = on_lost_schema
        self._clock = clock
        self._ids: dict[tuple[str, str], _KnownId] = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, topic: str, schema: Schema) -> int:
        """Return the id of a schema under a topic's subject; register the schema if it is new.

        Raises ``SchemaRejected`` on incompatibility, ``RegistryUnavailable`` otherwise.
        """
        key = (topic, schema.json)  # whoever writes a schema can give it the fingerprint of another one
        known = self._ids.get(key)
        if known is None:
            known = self._ids[key] = self._confirmed(self._register(topic, schema))
        elif self._clock() >= known.confirm_at:
            known = self._ids[key] = self._confirm(topic, schema, known.schema_id)
        return known.schema_id

    def id_of(self, topic: str, schema: Schema, *, seconds: float = _SECONDS) -> int | None:
        """Return the id of a schema under a topic's subject; None if the registry does not have it there.

        Raises ``RegistryUnavailable``.
        """
        answer = self._ask("POST", f"/subjects/{subject(topic)}", {"schema": schema.json}, seconds=seconds)
        return None if _says_unknown(answer) else self._id_in(answer)

    def require_full_transitive(self, topic: str) -> None:
        """Set a subject's compatibility to FULL_TRANSITIVE: any version reads any other. Raises as ``register``."""
        answer = self._ask("PUT", f"/config/{subject(topic)}", {"compatibility": REQUIRED_LEVEL})
        if REQUIRED_LEVEL not in self._object(answer).values():  # registries differ in the name of the field
            raise self._unavailable(answer)

    def compatibility(self, topic: str) -> str:
        """Return a subject's compatibility level, or the registry's default level. Raises as ``register``."""
        answer = self._ask("GET", f"/config/{subject(topic)}?defaultToGlobal=true")
        if _says_unknown(answer) or _error_code(answer) == _NO_LEVEL:  # a registry without this parameter
            answer = self._ask("GET", "/config")
        return self._value(answer, "compatibilityLevel", str)

    def accepts(self, topic: str, schema: Schema) -> bool:
        """Return whether the registry has the schema or would accept it as next version. Raises as ``register``."""
        body = {"schema": schema.json}
        answer = self._ask("POST", f"/compatibility/subjects/{subject(topic)}/versions/latest", body)
        return _says_unknown(answer) or self._value(answer, "is_compatible", bool)  # unknown: no version yet

    def versions(self, topic: str) -> list[int]:
        """Return the numbers of a subject's versions, none if there is no such subject. Raises as ``register``."""
        answer = self._ask("GET", f"/subjects/{subject(topic)}/versions")
        if _says_unknown(answer):
            return []
        content = _json(answer)
        if answer.status_code != _OK or not isinstance(content, list):
            raise self._unavailable(answer)
        return [number for number in content if isinstance(number, int)]

    def version(self, topic: str, number: int) -> str:
        """Return the JSON text of a version of a subject. Raises as ``register``."""
        return self._value(self._ask("GET", f"/subjects/{subject(topic)}/versions/{number}"), "schema", str)

    def resolve(self, schema_id: int) -> str:
        """Return the JSON text of a schema by its id. Raises ``UnknownSchema`` or ``RegistryUnavailable``.

        An id is unknown only if the registry says so and has versions of the events' subject: one that lost its schemas
        is unavailable.
        """
        answer = self._ask("GET", f"/schemas/ids/{schema_id}")
        if not _says_unknown(answer):
            return self._value(answer, "schema", str)
        if not self.versions(self._events):
            raise RegistryUnavailable(
                f"The schema registry at {self._url} knows neither schema id {schema_id} nor any version of "
                f"{subject(self._events)}: it lost its schemas, or is another registry; restore it, or run `stumble "
                "topics apply`."
            )
        raise UnknownSchema(f"The registry at {self._url} does not know schema id {schema_id}.")

    def _confirmed(self, schema_id: int) -> _KnownId:
        return _KnownId(schema_id, self._clock() + _CONFIRM_AFTER)

    def _unconfirmed(self, schema_id: int) -> _KnownId:
        return _KnownId(schema_id, self._clock() + _TRY_AGAIN_AFTER)

    def _register(self, topic: str, schema: Schema) -> int:
        path, body = f"/subjects/{subject(topic)}/versions", {"schema": schema.json}
        answer = self._ask("POST", path, body)
        if answer.status_code == _CONFLICT:  # Apicurio also answers 409 to a concurrent registration
            answer = self._ask("POST", path, body)
        if answer.status_code == _CONFLICT and _error_code(answer) is not None:
            raise SchemaRejected(f"The registry rejects {schema.name} for {subject(topic)}: {_message(answer)}.")
        return self._id_in(answer)

    def _confirm(self, topic: str, schema: Schema, schema_id: int) -> _KnownId:
        try:
            now = self.id_of(topic, schema, seconds=_CONFIRM_SECONDS)
        except RegistryUnavailable:
            return self._unconfirmed(schema_id)
        if now == schema_id:
            return self._confirmed(schema_id)
        self._on_lost_schema()
        text = f"The schema registry at {self._url} lost {schema.name} of {subject(topic)}, which had id {schema_id}"
        if now is None:
            try:
                now = self._register(topic, schema)
            except StumbleError as error:
                LOG.warning("%s, and does not register it again: %s", text, error)
                return self._unconfirmed(schema_id)
        LOG.warning("%s; it has id %d now. Run `stumble check registry`.", text, now)
        return self._confirmed(now)

    def _ask(
        self, method: str, path: str, body: dict[str, str] | None = None, *, seconds: float = _SECONDS
    ) -> httpx.Response:
        try:
            return self._client.request(method, self._url + path, seconds=seconds, json=body, headers=_CONTENT)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryUnavailable(f"The schema registry at {self._url} does not answer: {error}.") from None

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        content = _json(answer)
        if answer.status_code != _OK or not isinstance(content, dict):
            raise self._unavailable(answer)
        return content

    def _value(self, answer: httpx.Response, name: str, kind: type[_Value]) -> _Value:
        value = self._object(answer).get(name)
        if type(value) is not kind:
            raise self._unavailable(answer)
        return value

    def _id_in(self, answer: httpx.Response) -> int:
        schema_id = self._value(answer, "id", int)
        if schema_id not in _IDS:
            raise self._unavailable(answer)
        return schema_id

    def _unavailable(self, answer: httpx.Response) -> RegistryUnavailable:
        if _error_code(answer) is not None:
            return RegistryUnavailable(
                f"The schema registry at {self._url} answers {answer.status_code}: {_message(answer)}."
            )
        return RegistryUnavailable(
            f"What answers at {self._url} is no schema registry (status {answer.status_code}, "
            f"{answer.headers.get('content-type', 'no content type')[:_SHOWN]}): check "
            "STUMBLE_KAFKA__SCHEMA_REGISTRY_URL and what is between."
        )


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _says_unknown(answer: httpx.Response) -> bool:
    """Return whether a registry itself says that it has no such subject, version or schema."""
    return answer.status_code == _NOT_FOUND and _error_code(answer) in _UNKNOWN


def _error_code(answer: httpx.Response) -> int | None:
    """Return the code of a registry's own error, None if the answer is none."""
    content = _json(answer) if answer.is_error else None
    code = content.get("error_code") if isinstance(content, dict) else None
    return code if type(code) is int else None


def _message(answer: httpx.Response) -> str:
    return str(_json(answer).get("message", "no message"))[:_SHOWN].rstrip(".")
