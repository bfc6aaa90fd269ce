"""The bridge: reads the notifications that a cloud already sends, for clouds whose Nova hosts may not be changed.

Start reading at ``service``. Imports ``emitter``, ``runtime``, ``settings``, ``translate``.
"""
