"""The projector's world: Kafka, a store, processes."""

from tests.integration.projector.conftest import migrated, store_url, world

__all__ = ["migrated", "store_url", "world"]
