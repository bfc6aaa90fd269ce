"""The dead letter topic: write, read, count and send again records that cannot be stored.

Start reading at ``service``. Imports ``ingest``, ``kafka``, ``outcome``, ``runtime``, ``settings``,
``signatures``, ``store``, ``wire``.
"""
