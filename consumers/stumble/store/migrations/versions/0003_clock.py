"""The clock: what is due, what decisions rest on, what producers say of their starts."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0006"
branch_labels = None
depends_on = None

_UNDO = """
drop index stumble_derived.requests_in_flight;
drop index stumble_derived.requests_stalled;
create index requests_open on stumble_derived.requests (action) where outcome in ('IN_PROGRESS', 'STALLED');
drop index stumble_kept.producers_moved;
alter table stumble_derived.requests drop column evidence;
alter table stumble_kept.producers
    drop column service, drop column relay_host, drop column started_at, drop column starting, drop column ready_at;
"""


def upgrade() -> None:
    """Add them."""
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take them away."""
    op.get_bind().exec_driver_sql(_UNDO)
