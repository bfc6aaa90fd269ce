"""The projector's testbed: Kafka, a store, processes."""

from tests.support.projector_fixtures import store_url, template_database, testbed

__all__ = ["store_url", "template_database", "testbed"]
