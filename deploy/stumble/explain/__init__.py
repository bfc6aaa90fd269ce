"""Explains recorded signals without Kafka or a store: the events, what each rule concluded, and the records.

Start reading at ``explanation``. Imports ``bridge``, ``emitter``, ``outcome``, ``runtime``, ``translate``, ``wire``.
"""
