"""Retention counts what it takes out; tables that change often are cleaned up often."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0002"
branch_labels = None
depends_on = None

_SETTINGS = {
    "stumble_derived.fact_sets": "autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor",
    "stumble_derived.requests": "autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor",
    "stumble_derived.failures": "autovacuum_vacuum_scale_factor",
    "stumble_kept.revisions": "autovacuum_vacuum_scale_factor",
    "stumble_kept.counters": "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold",
    "stumble_kept.offsets": "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold",
}


def upgrade() -> None:
    """Add the column, the index and the settings."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take them back."""
    bind = op.get_bind()
    for table, names in _SETTINGS.items():
        bind.exec_driver_sql(f"alter table {table} reset ({names})")
    for index in ("stumble_derived.fact_sets_age", "stumble_kept.publications_age", "stumble_kept.decisions_instance"):
        bind.exec_driver_sql(f"drop index if exists {index}")
    bind.exec_driver_sql("alter table stumble_derived.problem_counts drop column expired")
