"""Client of a schema registry with Confluent's API: registers schemas for writing, resolves ids for reading."""

from __future__ import annotations

import httpx

from stumble.runtime.http_client import HttpClient
from stumble.settings.kafka import KafkaSettings
from stumble.settings.urls import split_user
from stumble.wire.errors import RegistryUnavailable, StumbleError, UnknownSchema
from stumble.wire.schemas import Schema
from stumble.wire.topics import subject

#: Seconds for one request and its answer.
_SECONDS = 10.0
_ANSWER_BYTES = 4 << 20
_NOT_FOUND = 404
_CONFLICT = 409
_CONTENT = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class SchemaRejected(StumbleError):
    """The registry rejects the schema as incompatible with an earlier version of its subject."""


class Registry:
    """Client of one registry; caches answers without limit of time, since an id never changes its schema."""

    def __init__(self, settings: KafkaSettings, transport: httpx.BaseTransport | None = None) -> None:
        if settings.schema_registry_url is None:
            raise StumbleError("No schema registry is configured: set STUMBLE_KAFKA__SCHEMA_REGISTRY_URL.")
        password = settings.schema_registry_password
        # Without user and password, so that no error text or log line contains them.
        self._url, user = split_user(settings.schema_registry_url.rstrip("/"))
        auth = (settings.schema_registry_user or "", password.get_secret_value()) if password else user
        self._client = HttpClient(seconds=_SECONDS, max_bytes=_ANSWER_BYTES, auth=auth, transport=transport)
        self._texts: dict[int, str] = {}
        self._ids: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, topic: str, schema: Schema) -> int:
        """Return the id of a schema under a topic's subject; register the schema if it is new.

        Raises ``SchemaRejected`` on incompatibility, ``RegistryUnavailable`` otherwise.
        """
        key = (topic, schema.json)  # whoever writes a schema can give it the fingerprint of another one
        if key not in self._ids:
            path, body = f"/subjects/{subject(topic)}/versions", {"schema": schema.json}
            answer = self._ask("POST", path, body)
            if answer.status_code == _CONFLICT:  # Apicurio also answers 409 to a concurrent registration
                answer = self._ask("POST", path, body)
            if answer.status_code == _CONFLICT:
                raise SchemaRejected(f"The registry rejects {schema.name} for {subject(topic)}: {_message(answer)}.")
            self._check(answer)
            self._ids[key] = int(answer.json()["id"])
        return self._ids[key]

    def require_full_transitive(self, topic: str) -> None:
        """Set a subject's compatibility to FULL_TRANSITIVE: any version reads any other. Raises as ``register``."""
        self._check(self._ask("PUT", f"/config/{subject(topic)}", {"compatibility": "FULL_TRANSITIVE"}))

    def compatibility(self, topic: str) -> str:
        """Return a subject's compatibility level, or the registry's default level. Raises as ``register``."""
        answer = self._ask("GET", f"/config/{subject(topic)}?defaultToGlobal=true")
        if answer.status_code == _NOT_FOUND:  # a registry without this parameter
            answer = self._ask("GET", "/config")
        self._check(answer)
        return str(answer.json().get("compatibilityLevel", "NONE"))

    def accepts(self, topic: str, schema: Schema) -> bool:
        """Return whether the registry has the schema or would accept it as next version. Raises as ``register``."""
        body = {"schema": schema.json}
        answer = self._ask("POST", f"/compatibility/subjects/{subject(topic)}/versions/latest", body)
        if answer.status_code == _NOT_FOUND:  # no version yet
            return True
        self._check(answer)
        return bool(answer.json()["is_compatible"])

    def resolve(self, schema_id: int) -> str:
        """Return the JSON text of a schema by its id. Raises ``UnknownSchema`` or ``RegistryUnavailable``."""
        if schema_id not in self._texts:
            answer = self._ask("GET", f"/schemas/ids/{schema_id}")
            if answer.status_code == _NOT_FOUND:
                raise UnknownSchema(f"The registry at {self._url} does not know schema id {schema_id}.")
            self._check(answer)
            self._texts[schema_id] = str(answer.json()["schema"])
        return self._texts[schema_id]

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> httpx.Response:
        try:
            return self._client.request(method, self._url + path, json=body, headers=_CONTENT)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"The schema registry at {self._url} does not answer: {error}.") from None

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_error:
            raise RegistryUnavailable(
                f"The schema registry at {self._url} answers {answer.status_code}: {_message(answer)}.",
            )


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", answer.text))
    except (ValueError, AttributeError):
        return answer.text[:200]
