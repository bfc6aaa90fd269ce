"""The bridge: events from notifications that a cloud already sends, where Nova's hosts may not be touched.

Start reading at ``service``. Imports ``emitter``, ``runtime``, ``settings``, ``translate``.
"""
