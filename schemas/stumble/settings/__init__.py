"""What people configure: settings from file, environment and secrets folder; the schema registry's client.

Start reading at ``base``. Imports ``runtime``, ``wire``.
"""
