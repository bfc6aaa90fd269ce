"""The projector: reads events from Kafka and writes the failure store, one PostgreSQL transaction per batch.

Start reading at ``build``. Imports ``clock``, ``deadletters``, ``ingest``, ``kafka``, ``metrics``, ``runtime``,
``settings``, ``signatures``, ``store``, ``wire``.
"""
