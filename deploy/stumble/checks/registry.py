"""Check that the schema registry answers, has this program's subjects, and rejects what a reader could not read."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.provision.topics import value_schemas
from stumble.settings.registry import REQUIRED_LEVEL, Registry
from stumble.wire.errors import RegistryUnavailable, UnsupportedSchema
from stumble.wire.schemas import Schema
from stumble.wire.topics import subject
from stumble.wire.writer_schema import parse_writer_schema

__all__ = ["check_registry"]

#: Most versions of a subject that are read, the newest ones.
_MOST_VERSIONS = 20


def check_registry(scope: CheckContext) -> Iterator[CheckResult]:
    """Check each subject: its versions, its compatibility level, and whether it accepts this program's schema."""
    kafka = scope.settings.kafka
    registry = Registry(kafka)
    try:
        for topic, schema in value_schemas(kafka).items():
            numbers = registry.versions(topic)
            yield _check_subject(registry, topic, schema) if numbers else _without_versions(topic)
            yield from _unreadable_versions(registry, topic, schema, numbers[-_MOST_VERSIONS:])
    except RegistryUnavailable as error:
        todo = "check STUMBLE_KAFKA__SCHEMA_REGISTRY_URL, _USER and _PASSWORD; events wait in the outbox meanwhile"
        yield wrong("registry", str(error).removesuffix("."), todo)
    finally:
        registry.close()


def _without_versions(topic: str) -> CheckResult:
    says = "the registry has no version of it: it lost its schemas, or they were never registered"
    return wrong(subject(topic), says, "restore the registry, or register them: stumble topics apply")


def _check_subject(registry: Registry, topic: str, schema: Schema) -> CheckResult:
    if not registry.accepts(topic, schema):
        says = f"the {schema.name} of this program is not compatible with what is registered"
        return wrong(subject(topic), says, "use the release of stumble that registered it, or a newer one")
    level = registry.compatibility(topic)
    if level != REQUIRED_LEVEL:
        says = f"compatibility is {level}, so a version that some readers cannot read may be registered"
        return warning(subject(topic), says, "stumble topics apply")
    return fine(subject(topic), f"{level}; accepts this program's {schema.name}")


def _unreadable_versions(registry: Registry, topic: str, schema: Schema, numbers: list[int]) -> Iterator[CheckResult]:
    for number in numbers:
        try:
            parse_writer_schema(registry.version(topic, number), schema)
        except RegistryUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # anybody may have registered any text
            reason = str(error) if isinstance(error, UnsupportedSchema) else f"it cannot be parsed: {error}"
            says = f"consumers do not read records of version {number}: {reason.removesuffix('.')}"
            todo = "find who registered it; its records go to the dead letter topic"
            yield warning(subject(topic), says, todo)
