"""The table of commands. A new command is one line here and one module beside this one."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMANDS", "Command"]


class Command(NamedTuple):
    """One command: `target` is ``module:attribute`` (a typer app, or a function that becomes one)."""

    section: str
    name: str
    target: str
    extra: str
    help: str


_CLI = "stumble.cli"
_ASK, _FEED, _STORE, _HERE = "Ask", "Producing side", "Consuming side", "On this machine"

COMMANDS = (
    Command(_ASK, "failures", f"{_CLI}.failures:app", "cli", "What failed: a table, or live with --follow"),
    Command(_ASK, "request", f"{_CLI}.request:app", "cli", "Everything that happened in one request"),
    Command(_ASK, "instance", f"{_CLI}.instance:app", "cli", "A server's last request, last failure and history"),
    Command(_ASK, "wait", f"{_CLI}.wait:app", "cli", "Wait for a request's outcome; the exit status says it"),
    Command(_ASK, "problems", f"{_CLI}.problems:app", "cli", "What goes wrong, by cause; resolve and mute"),
    Command(_ASK, "tail", f"{_CLI}.tail:app", "relay", "Decoded records of a topic as they come in"),
    Command(_ASK, "schema", f"{_CLI}.schema:app", "cli", "Show the Avro schemas, check that they stay compatible"),
    Command(_FEED, "relay", f"{_CLI}.relay:app", "relay", "Send what the outboxes of this host hold to Kafka"),
    Command(_FEED, "outbox", f"{_CLI}.outbox:app", "relay", "List, verify and export outboxes"),
    Command(_FEED, "bridge", f"{_CLI}.bridge:app", "bridge", "Take Nova's notifications from RabbitMQ or Kafka"),
    Command(_FEED, "simulate", f"{_CLI}.simulate:app", "relay", "Let a seeded fleet of servers stumble"),
    Command(_STORE, "topics", f"{_CLI}.topics:app", "consumers", "Create the Kafka topics"),
    Command(_STORE, "store", f"{_CLI}.store:app", "consumers", "Migrate the database"),
    Command(_STORE, "projector", f"{_CLI}.projector:app", "consumers", "Build the failure store from the topic"),
    Command(
        _STORE, "offsets", f"{_CLI}.offsets:app", "consumers", "Where the store is in the topic; resume after a loss"
    ),
    Command(_STORE, "dlq", f"{_CLI}.dlq:app", "consumers", "Dead letters: list, count, export, send again"),
    Command(_STORE, "alerter", f"{_CLI}.alerter:app", "consumers", "Publish failures, outcomes and their corrections"),
    Command(_STORE, "alerts", f"{_CLI}.alerts:app", "consumers", "Check rules, rehearse them, list what fires"),
    Command(_STORE, "subscriptions", f"{_CLI}.subscriptions:app", "cli", "Who is told of each failure by webhook"),
    Command(
        _STORE, "rederive", f"{_CLI}.rederive:app", "consumers", "Derive stored requests anew after a change of rules"
    ),
    Command(_STORE, "audit", f"{_CLI}.audit:app", "consumers", "Does the store say what the topic says?"),
    Command(_STORE, "replay", f"{_CLI}.replay:app", "consumers", "A store as of any time, the story of one server"),
    Command(_STORE, "api", f"{_CLI}.api:app", "consumers", "Serve HTTP API, web pages and metrics"),
    Command(_HERE, "check", f"{_CLI}.check:app", "cli", "Connect to all that is configured; what is wrong, what to do"),
    Command(_HERE, "capacity", f"{_CLI}.capacity:app", "cli", "Partitions, disk and database size for a cloud"),
    Command(_HERE, "run", f"{_CLI}.run:app", "local", "Everything at once, with a Kafka and a PostgreSQL of its own"),
)
