"""Shared by the checks of Kafka: a client that reports why it got no answer, and one time limit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource

from stumble.checks.model import CheckedElsewhere
from stumble.settings.kafka import KafkaSettings
from stumble.wire.errors import StumbleError

__all__ = ["SECONDS", "Unanswered", "WatchedClient", "connect_cluster", "reach_cluster", "settings_of_broker"]

T = TypeVar("T")
#: Time limit of one request to Kafka.
SECONDS = 6.0
_POLLS = 20
#: Librdkafka's texts begin with the name of the broker's thread, and end with the number of repetitions.
_NOISE = re.compile(
    r"^\S+/(?:bootstrap|\d+): |\s*\(after \d+ms in state [A-Z_]+(?:, \d+ identical error\(s\) suppressed)?\)"
)
_HINTS = (
    (
        "certificate verify failed",
        "name the authority of the broker's certificate: ssl.ca.location in STUMBLE_KAFKA__OPTIONS",
    ),
    ("SSL handshake", "compare security.protocol and ssl.* in STUMBLE_KAFKA__OPTIONS with the broker's listener"),
    ("Authentication failed", "check sasl.username and sasl.password"),
    ("authentication", "check sasl.mechanism, sasl.username and sasl.password in STUMBLE_KAFKA__OPTIONS"),
    ("SASL", "compare security.protocol and sasl.* in STUMBLE_KAFKA__OPTIONS with the broker's listener"),
    ("Disconnected while requesting ApiVersion", "the listener expects TLS or SASL: set security.protocol"),
    ("No such configuration property", "correct the name in STUMBLE_KAFKA__OPTIONS"),
    ("configuration", "correct the value in STUMBLE_KAFKA__OPTIONS"),
    ("ssl", "check the files that ssl.* in STUMBLE_KAFKA__OPTIONS name"),
    ("transport failure", "check STUMBLE_KAFKA__BOOTSTRAP_SERVERS, that Kafka runs, and security.protocol"),
    ("AUTHORIZATION", "grant the right: stumble topics apply --grant ROLE=User:NAME"),
)


class Unanswered(StumbleError):
    """Kafka gave no answer; `todo` is what the operator can do."""

    def __init__(self, says: str, todo: str) -> None:
        super().__init__(says)
        self.todo = todo


class WatchedClient:
    """An administrative client that stores the errors which librdkafka reports to its callback."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._errors: list[str] = []
        self._refused = False
        config = {**kafka.client_config(), "log_level": 0, "error_cb": self._on_error}
        self.client = self.ask(lambda: AdminClient(config), poll=False)

    def ask(self, question: Callable[[], T], *, poll: bool = True) -> T:
        """Return the answer; raises `Unanswered` with the reason, which librdkafka reports to the callback only."""
        try:
            return question()
        except KafkaException as error:
            for _ in range(_POLLS if poll else 0):
                self.client.poll(0.01)
            inner = error.args[0] if error.args else None
            says = inner.str() if isinstance(inner, KafkaError) else str(inner or error)
            raise explain_errors(self._errors or [says]) from None

    @property
    def hopeless(self) -> bool:
        """Whether a broker refused TLS or the authentication, so that retrying does not help."""
        return self._refused

    def _on_error(self, error: KafkaError) -> None:
        self._refused |= error.code() in (KafkaError._SSL, KafkaError._AUTHENTICATION)
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._errors.append(error.str())


def connect_cluster(kafka: KafkaSettings) -> WatchedClient:
    """Return a client that has reached a broker. Raises `CheckedElsewhere`: the check `brokers` reports the reason."""
    try:
        return reach_cluster(kafka)[0]
    except Unanswered as error:
        raise CheckedElsewhere("brokers", str(error), error.todo) from None


def reach_cluster(kafka: KafkaSettings) -> tuple[WatchedClient, ClusterMetadata]:
    """Return a client and the cluster metadata. Raises `Unanswered`, immediately if retrying does not help."""
    watched = WatchedClient(kafka)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return watched, watched.ask(lambda: watched.client.list_topics(timeout=1.0))
        except Unanswered:
            if watched.hopeless or time.monotonic() > deadline:
                raise


def explain_errors(errors: list[str]) -> Unanswered:
    """Return the most specific of these texts, with what to do about it."""
    for part, todo in _HINTS:
        text = next((text for text in errors if part.lower() in text.lower()), None)
        if text:
            return Unanswered(_NOISE.sub("", text), todo)
    return Unanswered(_NOISE.sub("", errors[0]), "check STUMBLE_KAFKA__BOOTSTRAP_SERVERS, and that Kafka runs")


def settings_of_broker(watched: WatchedClient) -> dict[str, str]:
    """Return one broker's settings. Raises `Unanswered`, also where the principal may not read them."""
    listed = watched.ask(lambda: watched.client.list_topics(timeout=SECONDS))
    broker = str(min(listed.brokers))
    resource = ConfigResource(ConfigResource.Type.BROKER, broker)
    future = watched.client.describe_configs([resource], request_timeout=SECONDS)[resource]
    answers: dict[str, Any] = watched.ask(future.result)
    return {name: entry.value for name, entry in answers.items()}
