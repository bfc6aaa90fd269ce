"""A migrated store for each test, writers for it, and a testbed with Kafka and projectors as processes."""

from tests.support.projector_fixtures import new_writer, store_url, template_database, testbed, writer

__all__ = ["new_writer", "store_url", "template_database", "testbed", "writer"]
