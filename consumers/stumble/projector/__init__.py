"""The projector: reads events from Kafka and keeps the failure store, one PostgreSQL transaction a batch.

Start reading at ``build``. Imports ``clock``, ``deadletters``, ``ingest``, ``kafka``, ``metrics``, ``runtime``,
``settings``, ``store``, ``wire``.
"""
