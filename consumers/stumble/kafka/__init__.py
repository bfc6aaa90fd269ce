"""Reading Kafka: a consumer whose caller decides where it starts, and the client's errors as sentences.

Start reading at ``consumer``. Imports ``runtime``, ``settings``, ``wire``.
"""
