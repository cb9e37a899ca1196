"""The feed names what was posted, instead of repeating it; older rows stay as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    with op.batch_alter_table("feed") as feed:
        feed.add_column(sa.Column("offer_id", sa.String(66), comment="the offer that was posted"))
        feed.add_column(sa.Column("order_id", sa.String(66), comment="the order that was posted"))
        feed.alter_column(
            "update",
            existing_type=sa.Text(),
            nullable=True,
            existing_comment="what happened, as JSON",
            comment="what else happened, as JSON",
        )
        feed.create_table_comment(
            "Every step of the market, without a gap. What was posted is written once, in its own table.",
            existing_comment="Every step of the market, without a gap.",
        )
