"""Compares store and topic; repairs and rebuilds the store, and replays it as of any time.

Start reading at ``audit``. Imports ``alerts``, ``deadletters``, ``ingest``, ``kafka``, ``outcome``, ``projector``,
``runtime``, ``settings``, ``signatures``, ``store``, ``wire``.
"""
