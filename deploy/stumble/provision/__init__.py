"""Topics and access rules on the Kafka cluster: planned, compared, applied.

Start reading at ``topics``. Imports ``deadletters``, ``projector``, ``settings``, ``wire``.
"""
