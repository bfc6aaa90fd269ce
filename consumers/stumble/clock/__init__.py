"""What follows from time and silence: requests that stall, and those that a restart interrupted.

Start reading at ``clock``. Imports ``ingest``, ``outcome``, ``runtime``, ``settings``, ``store``.
"""
