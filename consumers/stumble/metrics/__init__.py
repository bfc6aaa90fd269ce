"""Metrics: one list of definitions, the store's counters, each process's own health."""
