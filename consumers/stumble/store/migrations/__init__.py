"""Alembic migrations of the store: one SQL file a version."""
