"""Reading Kafka: a consumer that is told by its caller where to start, and the client's errors as sentences.

Start reading at ``consumer``. Imports ``runtime``, ``settings``, ``wire``.
"""
