"""A migrated store for each module, emptied before each test, and the API for it as a process of its own."""

from tests.support.api_fixtures import api, store, store_and_api, template_database, unused_port

__all__ = ["api", "store", "store_and_api", "template_database", "unused_port"]
