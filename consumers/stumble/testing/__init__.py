"""Stand-ins for tests, also of downstream developers: a topic, a consumer and a store in memory, a clock, events.

Start reading at ``in_memory``. Imports ``clock``, ``ingest``, ``kafka``, ``projector``, ``wire``.
"""
