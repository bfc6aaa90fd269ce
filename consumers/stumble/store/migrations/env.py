"""Alembic's entry: runs the migrations over the connection that store/migrate.py hands in."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=None,
    version_table="alembic_version",
    version_table_schema="stumble_durable",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
