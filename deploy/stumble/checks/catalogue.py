"""All checks, in the order of the pipeline. A new one needs an entry here and a function in this package."""

from __future__ import annotations

from stumble.checks.model import Check, CheckContext

__all__ = ["CHECKS"]

_HERE = "stumble.checks"
#: Seconds. Such a check sends several requests one after the other, each with a time limit of some seconds.
_LONG, _LONGER = 25.0, 40.0


def _about_database(name: str, about: str, target: str, seconds: float = 15.0) -> Check:
    def applies(scope: CheckContext) -> bool:
        return scope.names_database

    without = "no database is configured here (STUMBLE_DATABASE_URL)"
    return Check(name, about, f"{_HERE}.{target}", "consumers", seconds, applies, without)


def _about_outbox(name: str, about: str, target: str) -> Check:
    def applies(scope: CheckContext) -> bool:
        return scope.names_outbox

    return Check(name, about, f"{_HERE}.{target}", "relay", applies=applies, without="there is no outbox on this host")


def _about_kafka(name: str, about: str, target: str, extra: str = "relay") -> Check:
    return Check(name, about, f"{_HERE}.{target}", extra, _LONG)


def _registry(scope: CheckContext) -> bool:
    return scope.settings.kafka.schema_registry_url is not None


def _signatures(scope: CheckContext) -> bool:
    return bool(scope.settings.kafka.signing_key_file or scope.settings.kafka.public_keys_file)


CHECKS: tuple[Check, ...] = (
    Check(
        "configuration",
        "the settings are known, and not every user can read the secrets",
        f"{_HERE}.configuration:check_configuration",
        "cli",
    ),
    _about_outbox(
        "outbox",
        "file system, free space and rights of this host's outbox, and what its relay rejects",
        "outbox:check_outbox",
    ),
    _about_outbox("relay", "a relay serves this host's outbox", "outbox:check_relay"),
    _about_kafka("brokers", "every broker answers, and Kafka acknowledges a record", "brokers:check_brokers"),
    _about_kafka("topics", "the topics and their settings are as planned", "topics:check_topics"),
    _about_kafka("rights", "the access rules allow each role what it needs", "rights:check_rights"),
    Check(
        "signatures",
        "the keys that sign and verify records can be used",
        f"{_HERE}.signatures:check_signatures",
        "relay",
        _LONG,
        _signatures,
        "records are neither signed nor verified (STUMBLE_KAFKA__SIGNING_KEY_FILE, STUMBLE_KAFKA__PUBLIC_KEYS_FILE)",
    ),
    Check(
        "registry",
        "the schema registry answers and accepts only compatible versions",
        f"{_HERE}.registry:check_registry",
        "relay",
        _LONG,
        _registry,
        "no schema registry is configured (STUMBLE_KAFKA__SCHEMA_REGISTRY_URL)",
    ),
    _about_database("database", "the store answers, is migrated, and this user may use it", "database:check_database"),
    _about_database(
        "offsets", "partitions that are stopped, damaged or held by a transaction", "offsets:check_offsets", _LONGER
    ),
    _about_kafka(
        "take-over",
        "how soon the failure of a projector or alerter is detected",
        "takeover:check_takeover",
        "consumers",
    ),
    _about_database(
        "producers", "hosts that are silent, or whose events wait or are refused", "producers:check_producers"
    ),
    Check("tap", "Nova functions that the tap could not wrap", f"{_HERE}.producers:check_tap", "relay"),
    _about_kafka("clocks", "this host's clock, compared with the broker's and the database's", "clocks:check_clocks"),
    Check("deadlines", "time after which a request is stalled", f"{_HERE}.deadlines:check_deadlines", "consumers"),
    Check("alert-rules", "the alert rules are valid", f"{_HERE}.receivers:check_rules", "consumers"),
    Check(
        "receivers",
        "Alertmanager and webhooks can be reached, and the secrets of subscriptions decrypted",
        f"{_HERE}.receivers:check_receivers",
        "consumers",
        _LONG,
    ),
    Check(
        "notifications",
        "notification queues without a consumer",
        f"{_HERE}.notifications:check_notifications",
        "bridge",
        _LONGER,
    ),
)
