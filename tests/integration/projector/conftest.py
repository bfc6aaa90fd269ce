"""A migrated store for each test; writers of it; a world with Kafka and projectors as processes."""

from tests.support.projector_fixtures import hand, migrated, new_hand, store_url, world

__all__ = ["hand", "migrated", "new_hand", "store_url", "world"]
