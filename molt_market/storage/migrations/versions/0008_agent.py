"""What a provider's gateway does for its deals: its state, the usage logs, what it leaves at the market."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "agent_deals",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False, comment="of HandlingPhase"),
        sa.Column(
            "handling", sa.Text(), nullable=False, comment="devices, user, job, result and so on, as JSON"
        ),
        sa.PrimaryKeyConstraint("deployment", "deal_id", name=op.f("pk_agent_deals")),
        comment="What a gateway does for each of its deals.",
    )
    op.create_index("ix_agent_deals_phase", "agent_deals", ["deployment", "phase"], unique=False)
    op.create_table(
        "agent_heartbeats",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=66), nullable=False),
        sa.Column("heartbeat", sa.Text(), nullable=False, comment="as JSON"),
        sa.PrimaryKeyConstraint("deployment", "deal_id", "sequence", name=op.f("pk_agent_heartbeats")),
        comment="The usage logs: rows are added, and never changed.",
    )
    op.create_table(
        "agent_documents",
        sa.Column("deployment", sa.String(length=150), nullable=False),
        sa.Column("deal_id", sa.String(length=66), nullable=False),
        sa.Column(
            "name",
            sa.String(length=32),
            nullable=False,
            comment="what it is: receipt, for example",
        ),
        sa.Column("document", sa.Text(), nullable=False, comment="as JSON"),
        sa.Column(
            "number",
            sa.Integer(),
            nullable=True,
            comment="that it has at the market; null: it is not there yet",
        ),
        sa.PrimaryKeyConstraint("deployment", "deal_id", "name", name=op.f("pk_agent_documents")),
        comment="What a gateway leaves at the market: written down first, then posted until it is there.",
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("agent_documents")
    op.drop_table("agent_heartbeats")
    op.drop_index("ix_agent_deals_phase", table_name="agent_deals")
    op.drop_table("agent_deals")
