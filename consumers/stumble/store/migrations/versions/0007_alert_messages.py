"""Subscribers may be told of alerts."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0003"
branch_labels = None
depends_on = None

_UNDO = """
delete from stumble_kept.deliveries where alert is not null;
drop index stumble_kept.deliveries_alerts;
alter table stumble_kept.deliveries drop column alert;
delete from stumble_kept.subscriptions where kinds = array['alert'];
update stumble_kept.subscriptions set kinds = array_remove(kinds, 'alert');
alter table stumble_kept.subscriptions drop column rules, drop column severities;
"""


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take them away, with what only they could say."""
    op.get_bind().exec_driver_sql(_UNDO)
