"""Settings from file, environment and secrets directory; the client of the schema registry.

Start reading at ``base``. Imports ``runtime``, ``wire``.
"""
