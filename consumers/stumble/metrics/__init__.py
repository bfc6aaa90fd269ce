"""All metrics in one list, the store's counters, and the HTTP port of a process for metrics and health.

Start reading at ``definitions``. Imports ``ingest``, ``outcome``, ``store``, ``wire``.
"""
