"""A store for each test, and the API over it as a process of its own."""

from tests.support.api_fixtures import api, migrated, served, store, unused_port

__all__ = ["api", "migrated", "served", "store", "unused_port"]
