"""What was followed of the log of the chain: events, and deals as they stand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from molt_market.storage import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "checkpoints",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "number", name=op.f("pk_checkpoints")),
        comment="Blocks that may be gone back to.",
    )
    op.create_table(
        "cursors",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True, comment="of the last block that was followed"),
        sa.Column("hash", sa.String(length=66), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("deployment", name=op.f("pk_cursors")),
        comment="How far each log was followed. Who goes on, or back, locks the row.",
    )
    op.create_table(
        "deals",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column("buyer", sa.String(length=42), nullable=False),
        sa.Column("voucher_signer", sa.String(length=42), nullable=False),
        sa.Column("provider", sa.String(length=42), nullable=False),
        sa.Column("agent", sa.String(length=42), nullable=False),
        sa.Column("price_per_gpu_hour", types.Uint(length=78), nullable=False, comment="base units"),
        sa.Column("gpu_count", sa.BigInteger(), nullable=False),
        sa.Column("duration", sa.BigInteger(), nullable=False, comment="seconds"),
        sa.Column("commitment", sa.BigInteger(), nullable=False, comment="seconds"),
        sa.Column("slot", types.Uint(length=78), nullable=False, comment="of the offer"),
        sa.Column("policy_id", sa.String(length=66), nullable=False),
        sa.Column("order_hash", sa.String(length=66), nullable=False),
        sa.Column(
            "status",
            sa.Integer(),
            nullable=False,
            comment="1 locked, 2 claimed, 3 disputed, 4 released, 5 refunded",
        ),
        sa.Column("flags", sa.Integer(), nullable=False, comment="1 excused, 2 attested, 4 stopped"),
        sa.Column("fee_bps", sa.Integer(), nullable=False),
        sa.Column("bond_bps", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("paid", sa.BigInteger(), nullable=False, comment="GPU-seconds"),
        sa.Column("claim", sa.BigInteger(), nullable=False, comment="GPU-seconds"),
        sa.Column("notice_minutes", sa.Integer(), nullable=False),
        sa.Column(
            "to_provider", types.Uint(length=78), nullable=False, comment="base units that have gone out"
        ),
        sa.Column("fee", types.Uint(length=78), nullable=False, comment="base units that have gone out"),
        sa.Column("to_buyer", types.Uint(length=78), nullable=False, comment="base units that have gone out"),
        sa.Column("share", types.Uint(length=78), nullable=False, comment="base units: the arbiter's"),
        sa.Column(
            "stake", types.Uint(length=78), nullable=False, comment="base units: the buyer's, in a dispute"
        ),
        sa.Column("opened_by", sa.String(length=66), nullable=False, comment="transaction"),
        sa.Column("closed_by", sa.String(length=66), nullable=True, comment="transaction"),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("deployment", "deal_id", name=op.f("pk_deals")),
        comment="Every deal as it stands: what its events come to.",
    )
    op.create_index("ix_deals_closed_at", "deals", ["deployment", "closed_at"], unique=False)
    op.create_index("ix_deals_deadline", "deals", ["deployment", "status", "deadline"], unique=False)
    op.create_table(
        "events",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=True),
        sa.Column("event", sa.Text(), nullable=False, comment="all of it, as JSON"),
        sa.PrimaryKeyConstraint("deployment", "block", "log_index", name=op.f("pk_events")),
        comment="The escrow's log.",
    )
    op.create_index("ix_events_deal_id", "events", ["deployment", "deal_id"], unique=False)


def downgrade() -> None:
    """Take the change back."""
    op.drop_index("ix_events_deal_id", table_name="events")
    op.drop_table("events")
    op.drop_index("ix_deals_deadline", table_name="deals")
    op.drop_index("ix_deals_closed_at", table_name="deals")
    op.drop_table("deals")
    op.drop_table("cursors")
    op.drop_table("checkpoints")
