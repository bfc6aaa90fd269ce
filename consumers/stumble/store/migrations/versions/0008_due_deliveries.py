"""What is due of a subscriber is found by a few rows, however long its queue is."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_UNDO = """
drop index stumble_kept.deliveries_age, stumble_kept.deliveries_behind, stumble_kept.deliveries_due;
create index deliveries_due on stumble_kept.deliveries (next_at) where delivered_at is null and given_up_at is null;
"""


def upgrade() -> None:
    """Make the indexes."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Make the old one again."""
    op.get_bind().exec_driver_sql(_UNDO)
