"""Real Kafka and real PostgreSQL on this machine, without root, Docker or a system Java.

Start reading at ``stack``. Imports ``runtime``, ``settings``, ``wire``.
"""
