"""Metrics: one list of definitions, the store's counters, each process's own health."""

from stumble.consumers.metrics.store import StoreCollector, store_metrics

__all__ = ["StoreCollector", "store_metrics"]
