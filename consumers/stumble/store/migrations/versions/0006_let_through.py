"""How far bad records are let through."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Forget it."""
    op.get_bind().exec_driver_sql("drop table stumble_kept.let_through")
