"""All checks, in the order of the pipeline. A new one is an entry here and a function in a module beside this one."""

from __future__ import annotations

from stumble.checks.model import Check, CheckContext

__all__ = ["CHECKS"]

_HERE = "stumble.checks"
#: A question to Kafka and one to the database each have some seconds; several of them follow one another.
_LONG, _LONGER = 25.0, 40.0


def _about_database(name: str, about: str, target: str) -> Check:
    def applies(scope: CheckContext) -> bool:
        return scope.names_database

    without = "no database is configured here (STUMBLE_DATABASE_URL)"
    return Check(name, about, f"{_HERE}.{target}", "consumers", applies=applies, without=without)


def _about_outbox(name: str, about: str, target: str) -> Check:
    def applies(scope: CheckContext) -> bool:
        return scope.names_outbox

    return Check(name, about, f"{_HERE}.{target}", "relay", applies=applies, without="there is no outbox on this host")


def _about_kafka(name: str, about: str, target: str, extra: str = "relay") -> Check:
    return Check(name, about, f"{_HERE}.{target}", extra, _LONG)


def _registry(scope: CheckContext) -> bool:
    return scope.settings.kafka.schema_registry_url is not None


CHECKS: tuple[Check, ...] = (
    Check(
        "configuration",
        "settings can be read, secrets not by everybody",
        f"{_HERE}.configuration:check_configuration",
        "cli",
    ),
    _about_outbox("outbox", "place, space and rights of this host's outbox", "outbox:check_outbox"),
    _about_outbox("relay", "a relay serves this host's outbox", "outbox:relay"),
    _about_kafka("brokers", "Kafka answers and takes a record", "brokers:check_brokers"),
    _about_kafka("topics", "topics and their settings are as planned", "topics:check_topics"),
    _about_kafka("rights", "access rules let each role do its work", "rights:check_rights"),
    Check(
        "registry",
        "the schema registry answers and keeps versions compatible",
        f"{_HERE}.registry:check_registry",
        "relay",
        _LONG,
        _registry,
        "no schema registry is configured (STUMBLE_KAFKA__SCHEMA_REGISTRY_URL)",
    ),
    _about_database("database", "the store answers, is migrated and may be used", "database:check_database"),
    _about_kafka("take-over", "how soon a dead projector or alerter is missed", "takeover:check_takeover", "consumers"),
    _about_database("producers", "hosts that fell silent, wait or refuse", "producers:check_producers"),
    Check("tap", "what the tap could not wrap in Nova", f"{_HERE}.producers:tap", "relay"),
    _about_kafka("clocks", "this host's clock beside the broker's and the database's", "clocks:check_clocks"),
    Check(
        "deadlines", "when silence means that a request is stalled", f"{_HERE}.deadlines:check_deadlines", "consumers"
    ),
    Check("alert-rules", "rules of alerting are sound", f"{_HERE}.receivers:rules", "consumers"),
    Check(
        "receivers",
        "Alertmanager and webhooks can be reached",
        f"{_HERE}.receivers:check_receivers",
        "consumers",
        _LONG,
    ),
    Check(
        "notifications",
        "notification queues that nobody reads",
        f"{_HERE}.notifications:check_notifications",
        "bridge",
        _LONGER,
    ),
)
