"""Finds requests that stall, from deadlines and silent hosts, and requests that a restart interrupted.

Start reading at ``clock``. Imports ``ingest``, ``outcome``, ``runtime``, ``settings``, ``store``.
"""
