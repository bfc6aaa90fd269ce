"""Problems, alerts, subscriptions."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("deliveries", "subscriptions", "alerts", "problems")


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Forget them."""
    for table in _TABLES:
        op.get_bind().exec_driver_sql(f"drop table stumble_kept.{table}")
