"""The failure store in PostgreSQL: connection, migrations, named SQL statements, partitions, retention.

Start reading at ``connect``. Imports ``outcome``, ``wire``.
"""
