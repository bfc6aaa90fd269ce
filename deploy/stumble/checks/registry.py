"""Check that the schema registry answers, and rejects schemas that a reader could not read."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.provision.topics import value_schemas
from stumble.settings.registry import Registry
from stumble.wire.errors import RegistryUnavailable
from stumble.wire.topics import subject

__all__ = ["check_registry"]

_LEVEL = "FULL_TRANSITIVE"


def check_registry(scope: CheckContext) -> Iterator[CheckResult]:
    """Check each subject's compatibility level, and whether the registry would accept this program's schemas."""
    kafka = scope.settings.kafka
    registry = Registry(kafka)
    try:
        for topic, schema in value_schemas(kafka).items():
            level, accepted = registry.compatibility(topic), registry.accepts(topic, schema)
            if not accepted:
                says = f"the {schema.name} of this program is not compatible with what is registered"
                yield wrong(subject(topic), says, "use the release of stumble that registered it, or a newer one")
            elif level != _LEVEL:
                says = f"compatibility is {level}, so a version that some readers cannot read may be registered"
                yield warning(subject(topic), says, "stumble topics apply")
            else:
                yield fine(subject(topic), f"{level}; accepts this program's {schema.name}")
    except RegistryUnavailable as error:
        todo = "check STUMBLE_KAFKA__SCHEMA_REGISTRY_URL, _USER and _PASSWORD; events wait in the outbox meanwhile"
        yield wrong("registry", str(error).removesuffix("."), todo)
    finally:
        registry.close()
