"""Metrics: one list of definitions, the store's counters, each process's own health."""

from stumble.consumers.metrics.store import store_metrics

__all__ = ["store_metrics"]
