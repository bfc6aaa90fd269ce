"""The schema registry answers, and refuses what a reader could not read."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.provision.topics import written
from stumble.settings.registry import Registry
from stumble.wire.errors import RegistryUnavailable
from stumble.wire.topics import subject

__all__ = ["check_registry"]

_LEVEL = "FULL_TRANSITIVE"


def check_registry(scope: CheckContext) -> Iterator[CheckResult]:
    """Ask for each subject's compatibility, and whether this program's schemas would be taken."""
    kafka = scope.settings.kafka
    registry = Registry(kafka)
    try:
        for topic, schema in written(kafka).items():
            level, taken = registry.compatibility(topic), registry.takes(topic, schema)
            if not taken:
                says = f"the {schema.name} of this program is not compatible with what is registered"
                yield wrong(subject(topic), says, "take the release of stumble that wrote it, or a newer one")
            elif level != _LEVEL:
                says = f"compatibility is {level}, so that a version some readers can't read may be registered"
                yield warning(subject(topic), says, "stumble topics apply")
            else:
                yield fine(subject(topic), f"{level}; takes this program's {schema.name}")
    except RegistryUnavailable as error:
        todo = "check STUMBLE_KAFKA__SCHEMA_REGISTRY_URL, _USER and _PASSWORD; events wait in the outbox meanwhile"
        yield wrong("registry", str(error).removesuffix("."), todo)
    finally:
        registry.close()
