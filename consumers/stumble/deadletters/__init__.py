"""The dead letter topic: write, read, count and send again what could not be taken in.

Start reading at ``service``. Imports ``ingest``, ``kafka``, ``outcome``, ``runtime``, ``settings``, ``store``,
``wire``.
"""
