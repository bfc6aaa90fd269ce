"""The projector's world: Kafka, a store, processes."""

from tests.support.projector_fixtures import migrated, store_url, world

__all__ = ["migrated", "store_url", "world"]
