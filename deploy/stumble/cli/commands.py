"""The table of commands. A new command is one line here and one module beside this one."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMANDS", "LazyCommand"]


class LazyCommand(NamedTuple):
    """One command: `target` is ``module:attribute`` (a typer app, or a function that becomes one)."""

    section: str
    name: str
    target: str
    extra: str
    help: str


_CLI = "stumble.cli"
_ASK, _FEED, _STORE, _HERE = "Ask", "Producing side", "Consuming side", "On this machine"

COMMANDS = (
    LazyCommand(_ASK, "failures", f"{_CLI}.failures:app", "cli", "What failed: a table, or live with --follow"),
    LazyCommand(_ASK, "request", f"{_CLI}.request:app", "cli", "Everything that happened in one request"),
    LazyCommand(_ASK, "instance", f"{_CLI}.instance:app", "cli", "A server's last request, last failure and history"),
    LazyCommand(_ASK, "wait", f"{_CLI}.wait:app", "cli", "Wait for a request's outcome; the exit status says it"),
    LazyCommand(_ASK, "problems", f"{_CLI}.problems:app", "cli", "What goes wrong, by cause; resolve and mute"),
    LazyCommand(_ASK, "tail", f"{_CLI}.tail:app", "relay", "Decoded records of a topic as they come in"),
    LazyCommand(_ASK, "schema", f"{_CLI}.schema:app", "cli", "Show the Avro schemas, check that they stay compatible"),
    LazyCommand(_FEED, "relay", f"{_CLI}.relay:app", "relay", "Send what the outboxes of this host hold to Kafka"),
    LazyCommand(_FEED, "outbox", f"{_CLI}.outbox:app", "relay", "List, verify and export outboxes"),
    LazyCommand(_FEED, "bridge", f"{_CLI}.bridge:app", "bridge", "Take Nova's notifications from RabbitMQ or Kafka"),
    LazyCommand(_FEED, "simulate", f"{_CLI}.simulate:app", "relay", "Let a seeded fleet of servers stumble"),
    LazyCommand(_STORE, "topics", f"{_CLI}.topics:app", "consumers", "Create the Kafka topics"),
    LazyCommand(_STORE, "store", f"{_CLI}.store:app", "consumers", "Migrate the database"),
    LazyCommand(_STORE, "projector", f"{_CLI}.projector:app", "consumers", "Build the failure store from the topic"),
    LazyCommand(
        _STORE, "offsets", f"{_CLI}.offsets:app", "consumers", "Where the store is in the topic; resume after a loss"
    ),
    LazyCommand(_STORE, "dlq", f"{_CLI}.dlq:app", "consumers", "Dead letters: list, count, export, send again"),
    LazyCommand(
        _STORE, "alerter", f"{_CLI}.alerter:app", "consumers", "Publish failures, outcomes and their corrections"
    ),
    LazyCommand(_STORE, "alerts", f"{_CLI}.alerts:app", "consumers", "Check rules, rehearse them, list what fires"),
    LazyCommand(_STORE, "subscriptions", f"{_CLI}.subscriptions:app", "cli", "Who is told of each failure by webhook"),
    LazyCommand(
        _STORE, "rederive", f"{_CLI}.rederive:app", "consumers", "Derive stored requests anew after a change of rules"
    ),
    LazyCommand(_STORE, "audit", f"{_CLI}.audit:app", "consumers", "Does the store say what the topic says?"),
    LazyCommand(_STORE, "replay", f"{_CLI}.replay:app", "consumers", "A store as of any time, the story of one server"),
    LazyCommand(_STORE, "api", f"{_CLI}.api:app", "consumers", "Serve HTTP API, web pages and metrics"),
    LazyCommand(
        _HERE, "check", f"{_CLI}.check:app", "cli", "Connect to all that is configured; what is wrong, what to do"
    ),
    LazyCommand(_HERE, "capacity", f"{_CLI}.capacity:app", "cli", "Partitions, disk and database size for a cloud"),
    LazyCommand(
        _HERE, "run", f"{_CLI}.run:app", "local", "Everything at once, with a Kafka and a PostgreSQL of its own"
    ),
)
