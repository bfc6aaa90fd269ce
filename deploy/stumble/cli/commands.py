"""The table of commands. A new command needs one line here and one module in this package."""

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
_QUERY, _PRODUCE, _CONSUME, _LOCAL = "Queries", "Producing side", "Consuming side", "On this machine"

COMMANDS = (
    LazyCommand(_QUERY, "failures", f"{_CLI}.failures:app", "cli", "List failures, with --follow also new ones"),
    LazyCommand(_QUERY, "request", f"{_CLI}.request:app", "cli", "Show the outcome and all failures of one request"),
    LazyCommand(
        _QUERY, "instance", f"{_CLI}.instance:app", "cli", "Show a server's last request, last failure, history"
    ),
    LazyCommand(_QUERY, "wait", f"{_CLI}.wait:app", "cli", "Wait for a request's outcome; exit status shows it"),
    LazyCommand(_QUERY, "problems", f"{_CLI}.problems:app", "cli", "List failures grouped by cause; resolve and mute"),
    LazyCommand(
        _QUERY, "explain", f"{_CLI}.explain:app", "consumers", "Show what stumble concludes from recorded notifications"
    ),
    LazyCommand(_QUERY, "tail", f"{_CLI}.tail:app", "relay", "Show decoded records of a topic as they arrive"),
    LazyCommand(_QUERY, "schema", f"{_CLI}.schema:app", "cli", "Show the Avro schemas, check their compatibility"),
    LazyCommand(_PRODUCE, "relay", f"{_CLI}.relay:app", "relay", "Send the events in this host's outboxes to Kafka"),
    LazyCommand(_PRODUCE, "keys", f"{_CLI}.keys:app", "relay", "Create keys with which relays sign their records"),
    LazyCommand(
        _PRODUCE,
        "outbox",
        f"{_CLI}.outbox:app",
        "relay",
        "List, verify and export outboxes, send rejected events again",
    ),
    LazyCommand(_PRODUCE, "bridge", f"{_CLI}.bridge:app", "bridge", "Translate Nova's notifications into events"),
    LazyCommand(_PRODUCE, "simulate", f"{_CLI}.simulate:app", "relay", "Generate events of a simulated fleet"),
    LazyCommand(
        _CONSUME, "topics", f"{_CLI}.topics:app", "consumers", "Compare the Kafka topics with the plan, create them"
    ),
    LazyCommand(
        _CONSUME,
        "store",
        f"{_CLI}.store:app",
        "consumers",
        "Migrate the database, grant rights on it, rebuild it, show its size",
    ),
    LazyCommand(_CONSUME, "projector", f"{_CLI}.projector:app", "consumers", "Build the failure store from the topic"),
    LazyCommand(
        _CONSUME, "offsets", f"{_CLI}.offsets:app", "consumers", "Show and set the store's offsets in the topic"
    ),
    LazyCommand(_CONSUME, "dlq", f"{_CLI}.dlq:app", "consumers", "List, count, export and redrive dead letters"),
    LazyCommand(
        _CONSUME, "alerter", f"{_CLI}.alerter:app", "consumers", "Publish failures, outcomes and their corrections"
    ),
    LazyCommand(_CONSUME, "alerts", f"{_CLI}.alerts:app", "consumers", "Check and test rules, list firing alerts"),
    LazyCommand(_CONSUME, "subscriptions", f"{_CLI}.subscriptions:app", "cli", "Manage webhook subscriptions"),
    LazyCommand(
        _CONSUME,
        "rederive",
        f"{_CLI}.rederive:app",
        "consumers",
        "Derive stored requests again after a change of rules",
    ),
    LazyCommand(_CONSUME, "audit", f"{_CLI}.audit:app", "consumers", "Compare the store with the topic"),
    LazyCommand(
        _CONSUME, "replay", f"{_CLI}.replay:app", "consumers", "Build a store as of any time, show a server's history"
    ),
    LazyCommand(_CONSUME, "api", f"{_CLI}.api:app", "consumers", "Serve HTTP API, web pages and metrics"),
    LazyCommand(
        _LOCAL, "check", f"{_CLI}.check:app", "cli", "Check all configured services; show what is wrong and what to do"
    ),
    LazyCommand(
        _LOCAL, "capacity", f"{_CLI}.capacity:app", "cli", "Estimate partitions, disk and database size for a cloud"
    ),
    LazyCommand(
        _LOCAL, "run", f"{_CLI}.run:app", "local", "Run all parts of stumble, with their own Kafka and PostgreSQL"
    ),
)
