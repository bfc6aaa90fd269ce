"""Store and topic compared; repair, rebuild, and replay of the store as of any time.

Start reading at ``audit``. Imports ``deadletters``, ``ingest``, ``kafka``, ``outcome``, ``projector``, ``runtime``,
``settings``, ``store``, ``wire``.
"""
