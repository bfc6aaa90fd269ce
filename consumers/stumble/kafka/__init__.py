"""Reading Kafka: a consumer whose caller decides where it starts, and messages about the client's errors.

Start reading at ``consumer``. Imports ``runtime``, ``settings``, ``wire``.
"""
